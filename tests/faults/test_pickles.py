"""Rows 27 and 28: weights of another network, and files that would run code when opened."""

import io
import json
import os
import pickle
import re
import struct
import tarfile
import tomllib
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from packaging.version import Version
from torch import nn

from fastpipe.config.backbone import Backbone
from fastpipe.data.arrays import load_split
from fastpipe.data.streams import generator
from fastpipe.errors import UserError
from fastpipe.models.checkpoint import load_into, load_tensors, save_tensors
from fastpipe.models.network import build_network
from fastpipe.models.released import Normalisation, read_state, released_tensors

ROOT = Path(__file__).parents[2]


# --- 28: files that run code ----------------------------------------------------------------------


class Evil:
    """Unpickled, it makes the file `marker`."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


class EvilDict(OrderedDict):
    """As `Evil`, but a state dict at first sight."""

    def __reduce__(self):
        return os.system, (f"touch '{self['marker']}'",)


def command(marker: Path) -> bytes:
    return f"touch '{marker}'".encode()


def opcodes(marker: Path) -> dict[str, bytes]:
    """Pickles written by hand, one for each opcode that calls something."""
    text = command(marker)
    short = b"\x8c" + bytes([len(text)]) + text
    return {
        "GLOBAL and REDUCE": b"cos\nsystem\n(S" + repr(text.decode()).encode() + b"\ntR.",
        "INST": b"(S" + repr(text.decode()).encode() + b"\nios\nsystem\n.",
        "OBJ": b"\x80\x02(cos\nsystem\n" + b"X" + struct.pack("<I", len(text)) + text + b"o.",
        "Popen": b"\x80\x04\x8c\x0asubprocess\x8c\x05Popen\x93](\x8c\x02sh\x8c\x02-c"
        + short + b"e\x85R.",
        "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93" + short + b"\x85R.",
        "eval": b"cbuiltins\neval\n(S'__import__(\"os\").system(\""
        + text.replace(b"'", b"\\'") + b"\")'\ntR.",
    }  # fmt: skip


def saved(content: object, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def in_zip(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


def jit_archive(payload: bytes) -> bytes:
    """A TorchScript archive whose constants are a payload."""
    parts = {"data.pkl": payload, "constants.pkl": payload, "version": b"3\n"}
    return in_zip(
        parts | {"code/__torch__.py": b"class M(Module):\n  pass\n", "byteorder": b"little"}
    )


def in_tar(payload: bytes) -> bytes:
    """As torch.save wrote before 0.2: a tar of three pickles."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in ("storages", "tensors", "pickle"):
            member = tarfile.TarInfo(name)
            member.size = len(payload)
            tar.addfile(member, io.BytesIO(payload))
    return file.getvalue()


def of_numpy(write, marker: Path) -> bytes:
    file = io.BytesIO()
    write(file, np.array([Evil(marker)], dtype=object))
    return file.getvalue()


def attacks(marker: Path) -> dict[str, bytes]:
    """Files that make `marker` when opened carelessly."""
    evil, weights = Evil(marker), {"conv.weight": torch.zeros(2, 2)}
    made = {f"pickle, protocol {n}": pickle.dumps(evil, protocol=n) for n in range(6)}
    for name, pickled in opcodes(marker).items():
        made[f"{name}, bare"] = pickled
        made[f"{name}, in a zip"] = in_zip({"data.pkl": pickled, "version": b"3\n"})
    contents = {
        "alone": evil,
        "as a value": weights | {"bias": evil},
        "as a key": weights | {("a", evil): torch.zeros(1)},
        "deep": {"state_dict": {"layers": [weights, ({"x": [evil]},)]}},
        "as a state dict": EvilDict(marker=str(marker)),
        "as metadata": with_metadata(weights, evil),
    }
    for name, content in contents.items():
        made[f"torch zip, {name}"] = saved(content)
        made[f"torch legacy, {name}"] = saved(content, _use_new_zipfile_serialization=False)
    payload = pickle.dumps(evil, protocol=2)
    made["TorchScript"] = jit_archive(payload)
    made["tar of torch 0.1"] = in_tar(payload)
    made["npy"] = of_numpy(np.save, marker)
    made["npz"] = of_numpy(np.savez, marker)
    legacy = saved(weights, _use_new_zipfile_serialization=False)
    made["appended to a good file"] = legacy + payload
    made["before a good file"] = payload + legacy
    return made


def with_metadata(weights: dict, evil: Evil) -> OrderedDict:
    state = OrderedDict(weights)
    state._metadata = OrderedDict({"": evil})
    return state


HARMLESS = {"appended to a good file"}
"""Nothing reads what follows the tensors."""


def in_a_tar(path: Path) -> object:
    with tarfile.open(path) as tar:
        return pickle.loads(tar.extractfile("pickle").read())


@pytest.mark.fault(28)
def test_the_attacks_are_live(tmp_path):
    """Each runs its payload where it is unpickled without care."""
    loaders = (
        lambda path: torch.load(path, weights_only=False),
        lambda path: pickle.load(path.open("rb")),
        lambda path: np.load(path, allow_pickle=True)["arr_0"],
        lambda path: np.load(path, allow_pickle=True),
        in_a_tar,
        lambda path: pickle.loads(zipfile.ZipFile(path).read("archive/data.pkl")),
    )
    for name, content in attacks(tmp_path / "marker").items():
        path = tmp_path / "file"
        path.write_bytes(content)
        for load in loaders:
            try:
                ran = load(path)
                if hasattr(ran, "wait"):  # of subprocess.Popen
                    ran.wait()
            except Exception:  # another loader may open it
                continue
        assert (tmp_path / "marker").exists() != (name in HARMLESS), name
        (tmp_path / "marker").unlink(missing_ok=True)


@pytest.mark.fault(28)
@pytest.mark.parametrize("suffix", ["pth", "safetensors", "npy"])
@pytest.mark.filterwarnings("ignore:.*TorchScript")
@pytest.mark.filterwarnings("error:.*weights_only")
def test_nothing_in_a_file_is_run(tmp_path, suffix, tally):
    marker = tmp_path / "marker"
    for name, content in attacks(marker).items():
        path = tmp_path / f"train-images.{suffix}"
        path.write_bytes(content)
        if suffix == "npy":
            (tmp_path / "train-labels.npy").write_bytes(content)
            with pytest.raises(UserError, match=r"train-(images|labels)\.npy"):
                load_split(tmp_path, "train")
        elif suffix == "pth" and name in HARMLESS:
            assert list(read_state(path)) == ["conv.weight"]
        else:
            with pytest.raises(UserError, match=rf"train-images\.{suffix} ") as caught:
                read_state(path)
            assert "weights_only" not in str(caught.value), name  # advice to run the code
        assert not marker.exists(), name
        tally.add("hostile weights")
    tally.add("executed", 0)


def tensor_call(storage: str, arguments: str) -> bytes:
    """A pickle that rebuilds a tensor from a storage of the zip, with an attacker's arguments."""
    persistent = f"(S'storage'\nctorch\n{storage}\nS'0'\nS'cpu'\nI4\ntQ"
    return f"ctorch._utils\n_rebuild_tensor_v2\n({persistent}{arguments}tR.".encode()


OUT_OF_BOUNDS = {
    "size": "I0\n(I1000000000\nt(I1\ntI00\nccollections\nOrderedDict\n)R",
    "stride": "I0\n(I2\nt(I1000000000\ntI00\nccollections\nOrderedDict\n)R",
    "negative offset": "I-99\n(I2\nt(I1\ntI00\nccollections\nOrderedDict\n)R",
    "offset": "I999999999\n(I2\nt(I1\ntI00\nccollections\nOrderedDict\n)R",
    "negative size": "I0\n(I-5\nt(I1\ntI00\nccollections\nOrderedDict\n)R",
}


@pytest.mark.fault(28)
@pytest.mark.parametrize("name", OUT_OF_BOUNDS)
def test_tensors_beyond_their_storage_are_refused(tmp_path, name):
    pickled = tensor_call("FloatStorage", OUT_OF_BOUNDS[name])
    content = b"(S'w'\n" + pickled[:-1] + b"d."
    (tmp_path / "w.pth").write_bytes(
        in_zip({"data.pkl": content, "data/0": bytes(16), "version": b"3\n"})
    )
    with pytest.raises(UserError, match=r"w\.pth "):
        read_state(tmp_path / "w.pth")


STRANGE = {
    "keys that are no names": {1: torch.zeros(2), (2,): torch.zeros(2)},
    "sparse": {"w": torch.zeros(3, 3).to_sparse()},
    "complex": {"w": torch.zeros(3, dtype=torch.complex64)},
    "without numbers": {"w": torch.zeros(3, device="meta")},
}


@pytest.mark.fault(28)
@pytest.mark.parametrize("name", STRANGE)
def test_strange_state_dicts_are_refused_without_a_traceback(tmp_path, name):
    torch.save(STRANGE[name], tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth"):
        released_tensors(
            Backbone(name="resnet18"), read_state(tmp_path / "w.pth"), "w.pth",
            Normalisation((0.5,) * 3, (0.5,) * 3),
        )  # fmt: skip


@pytest.mark.fault(28)
def test_versions_of_another_kind_are_left_out(tmp_path):
    state = OrderedDict(own_network((4,), 2).state_dict())
    state._metadata = 5
    torch.save(state, tmp_path / "w.pth")
    read = read_state(tmp_path / "w.pth")
    assert list(read) == list(state) and not hasattr(read, "_metadata")


def header(text: str | bytes, length: int | None = None, data: bytes = b"") -> bytes:
    text = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


SAFETENSORS = {
    "a header of 2^63 bytes": header("{}", 1 << 63),
    "a header of 2^64 - 1 bytes": header("{}", (1 << 64) - 1),
    "a header of 90 MB that is not there": header("{}", 90_000_001),
    "a header that is no JSON": header("<script>"),
    "a header that is no UTF-8": header(b"\xff\xfe{}"),
    "a header nested 100,000 times": header("[" * 100_000 + "]" * 100_000),
    "a list": header("[]"),
    "an offset beyond the end": header(
        json.dumps({"w": entry(offsets=(0, 1 << 40))}), data=bytes(4)
    ),
    "negative offsets": header(json.dumps({"w": entry(offsets=(-8, -4))}), data=bytes(4)),
    "reversed offsets": header(json.dumps({"w": entry(offsets=(4, 0))}), data=bytes(4)),
    "a shape larger than its bytes": header(json.dumps({"w": entry(shape=(999,))}), data=bytes(4)),
    "a shape that overflows": header(
        json.dumps({"w": entry(shape=(1 << 33, 1 << 33))}), data=bytes(4)
    ),
    "overlapping tensors": header(json.dumps({"v": entry(), "w": entry()}), data=bytes(4)),
    "bytes of no tensor": header(json.dumps({"w": entry()}), data=bytes(4000)),
    "an unknown type": header(json.dumps({"w": entry(dtype="PICKLE")}), data=bytes(4)),
    "one name twice": header(
        f'{{"w": {json.dumps(entry())}, "w": {json.dumps(entry())}}}', data=bytes(8)
    ),
}


@pytest.mark.fault(28)
@pytest.mark.parametrize("name", SAFETENSORS)
def test_hostile_headers_of_safetensors_are_refused(tmp_path, name, tally):
    (tmp_path / "w.safetensors").write_bytes(SAFETENSORS[name])
    with pytest.raises(UserError, match=r"w\.safetensors is not a whole safetensors file"):
        load_tensors(tmp_path / "w.safetensors")
    tally.add("hostile headers")


@pytest.mark.fault(28)
def test_torch_is_new_enough_to_read_tensors_and_nothing_else():
    """Code could be executed up to 2.5.1 and memory be corrupted before 2.10."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {(one := Requirement(line)).name: one.specifier for line in project["dependencies"]}
    for old in ("2.5.1", "2.6", "2.9.1", "2.10"):
        assert Version(old) not in needed["torch"]
    assert Version(torch.__version__).release >= (2, 11)
    locked = re.search(r"^torch==([\d.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert Version(locked[1]) in needed["torch"]


# --- 27: weights of another network ---------------------------------------------------------------


def torch_model(name: str) -> nn.Module:
    from torchvision import models

    return getattr(models, name)(num_classes=3)


def own_network(widths: tuple[int, ...], classes: int) -> nn.Module:
    return build_network(
        Backbone(name="small-cnn", widths=widths), classes, channels=1, mean=[0.0], std=[1.0],
        body_generator=generator("a"), head_generator=generator("b"),
    )  # fmt: skip


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    ("widths", "classes", "keys"),
    [
        ((4, 8), 5, [r"1 different: head\.weight \(file float32\[7, 8\], network float32\[5, 8\]"]),
        ((4, 6), 7, [r"\d different: body\.\d\.weight \(file float32\[8"]),
        ((4, 8, 8), 7, [r"\d+ missing: body\."]),
        ((4,), 7, [r"\d+ unexpected: body\."]),
    ],
)
def test_another_network_is_refused_and_takes_nothing(tmp_path, widths, classes, keys):
    path = tmp_path / "weights.safetensors"
    save_tensors(path, own_network((4, 8), 7).state_dict())
    network = own_network(widths, classes)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(UserError, match=r"is the checkpoint of another backbone or number") as e:
        load_into(network, load_tensors(path), path)
    for key in keys:
        assert re.search(key, str(e.value))
    assert all(torch.equal(network.state_dict()[name], old) for name, old in before.items())


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    ("name", "kind"),
    [("resnet18", "resnet34"), ("resnet34", "resnet18"), ("squeezenet1_1", "resnet18")],
)
def test_released_weights_of_another_backbone_are_refused(tmp_path, name, kind):
    torch.save(torch_model(name).state_dict(), tmp_path / "w.pth")
    with pytest.raises(UserError, match=rf"does not hold weights of {kind}: .*(missing|unexpec)"):
        released_tensors(
            Backbone(name=kind), read_state(tmp_path / "w.pth"), "w.pth",
            Normalisation((0.5,) * 3, (0.5,) * 3),
        )  # fmt: skip
