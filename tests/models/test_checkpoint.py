import io
import pickle
import resource
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from torch import nn

from fastpipe.errors import UserError
from fastpipe.files import digest
from fastpipe.models.checkpoint import load_into, load_tensors, save_tensors

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def example(width=4):
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Linear(width, 2))


# --- writing and reading


@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=6),
    dtype=st.sampled_from(DTYPES),
)
@settings(deadline=None)
def test_what_is_saved_is_loaded(tmp_path_factory, shapes, dtype):
    path = tmp_path_factory.mktemp("trip") / "a.safetensors"
    tensors = {f"t.{i}": (torch.rand(shape) * 100).to(dtype) for i, shape in enumerate(shapes)}
    save_tensors(path, tensors)
    found = load_tensors(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_any_layout_can_be_saved(tmp_path):
    weight = nn.Parameter(torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last))
    tensors = {"last": weight, "turned": torch.randn(3, 4).t(), "same": weight[0]}
    save_tensors(tmp_path / "new folder" / "a.safetensors", tensors)
    found = load_tensors(tmp_path / "new folder" / "a.safetensors")
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_same_tensors_same_bytes(tmp_path):
    metadata = {letter: letter for letter in "abcdefgh"}
    tensors = {f"t{i}": torch.full((3,), float(i)) for i in range(8)}
    digests = set()
    for order in (tensors, dict(reversed(tensors.items()))):
        for _ in range(5):
            save_tensors(tmp_path / "a.safetensors", order, metadata)
            digests.add(digest(tmp_path / "a.safetensors"))
    assert len(digests) == 1
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {
            "fastpipe": '{"a":"a","b":"b","c":"c","d":"d","e":"e","f":"f","g":"g","h":"h"}'
        }


def test_a_full_disk_is_a_user_error(tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(UserError, match=r"no space left on the device while writing .*a\.safetens"):
        save_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(1)})


def test_a_file_that_may_not_be_so_large(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(UserError, match=r"a\.safetensors \(File too large\): 400,000 bytes"):
            save_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "a.safetensors").exists()


# --- what is refused


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return subprocess.check_call, (["touch", str(self.path)],)


def bombs(marker):
    """Files that run code when unpickled, by name."""
    model = {"weight": torch.zeros(2), "bomb": Bomb(marker)}
    made = {f"pickle-{n}": pickle.dumps(model, protocol=n) for n in range(6)}
    for name, is_zip in (("torch-zip", True), ("torch-legacy", False)):
        file = io.BytesIO()
        torch.save(model, file, _use_new_zipfile_serialization=is_zip)
        made[name] = file.getvalue()
    for name, write in (("npy", np.save), ("npz", np.savez)):
        file = io.BytesIO()
        write(file, np.array([Bomb(marker)], dtype=object))
        made[name] = file.getvalue()
    return made


@pytest.mark.fault(28)
def test_the_bombs_are_live(tmp_path):
    pickle.loads(bombs(tmp_path / "marker")["pickle-2"])
    assert (tmp_path / "marker").exists()


@pytest.mark.fault(28)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_pickles_are_refused_and_not_executed(tmp_path, suffix):
    for name, content in bombs(tmp_path / "marker").items():
        path = tmp_path / f"{name}.{suffix}"
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}\.{suffix} is ") as caught:
            load_tensors(path)
        assert not (tmp_path / "marker").exists(), name
        if name not in ("pickle-0", "pickle-1"):  # text, like any other file that is none of ours
            assert "could run code when opened; it was not opened" in str(caught.value)
    assert not (tmp_path / "marker").exists()


def test_files_that_begin_like_a_pickle_by_chance_are_read(tmp_path):
    """The first eight bytes are the header's length, which may be 0x80."""
    path = tmp_path / "a.safetensors"
    for length in range(200):
        save_tensors(path, {"a": torch.ones(3)}, {"note": "x" * length})
        if path.read_bytes().startswith(b"\x80"):
            break
    else:
        pytest.fail("no header of this length")
    assert torch.equal(load_tensors(path)["a"], torch.ones(3))


def test_a_file_cut_anywhere_is_a_user_error(tmp_path):
    path = tmp_path / "a.safetensors"
    save_tensors(path, example().state_dict())
    content = path.read_bytes()
    for length in [*range(0, 100), *range(100, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"a\.safetensors is not a whole safetensors file"):
            load_tensors(path)


def test_a_file_that_cannot_be_read_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"cannot read the checkpoint .*none: No such file"):
        load_tensors(tmp_path / "none")
    with pytest.raises(UserError, match=r"cannot read the checkpoint .*: Is a directory"):
        load_tensors(tmp_path)


# --- into a module


def test_loading_copies_values_and_keeps_the_layout(tmp_path):
    source, target = example(), example().to(memory_format=torch.channels_last)
    source[1].num_batches_tracked += 5
    pointers = [p.data_ptr() for p in target.parameters()]
    load_into(target, source.state_dict(), tmp_path)
    assert all(torch.equal(target.state_dict()[k], v) for k, v in source.state_dict().items())
    assert [p.data_ptr() for p in target.parameters()] == pointers
    assert target[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(p.requires_grad for p in target.parameters())


def test_a_prefix_chooses_a_part(tmp_path):
    tensors = {f"body.{name}": tensor for name, tensor in example().state_dict().items()}
    module = example()
    load_into(module, tensors | {"head.weight": torch.zeros(9)}, tmp_path, prefix="body.")
    assert torch.equal(module[0].weight, tensors["body.0.weight"])


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("0.bias"), r"1 missing: body\.0\.bias\. Use"),
        (lambda t: t.update(extra=torch.zeros(1)), r"1 unexpected: body\.extra\. Use"),
        (
            lambda t: t.update({"2.bias": torch.zeros(5)}),
            r"1 different: body\.2\.bias \(file float32\[5\], network float32\[2\]\)\. Use",
        ),
        (
            lambda t: t.update({"2.bias": torch.zeros(2).double()}),
            r"different: body\.2\.bias \(file float64\[2\], network float32\[2\]\)",
        ),
        (
            lambda t: [t.pop(name) for name in list(t) if name.startswith("1.")],
            r"5 missing: body\.1\.weight, body\.1\.bias, body\.1\.running_mean, …\. Use",
        ),
    ],
)
def test_checkpoints_of_another_network_are_refused(tmp_path, change, message):
    tensors = {name: tensor + 1 for name, tensor in example().state_dict().items()}
    change(tensors)
    module = example()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    path = tmp_path / "weights.safetensors"
    renamed = {f"body.{name}": tensor for name, tensor in tensors.items()}
    with pytest.raises(UserError, match=r"weights\.safetensors is the checkpoint of another") as e:
        load_into(module, renamed, path, prefix="body.")
    assert e.match(message)
    assert all(torch.equal(module.state_dict()[name], before[name]) for name in before)
