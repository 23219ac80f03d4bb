import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from fastpipe.errors import UserError
from fastpipe.files import digest, read_json, write_json
from fastpipe.stages.pretrain import PretrainSpec, pretrain

OUTPUTS = ["history.parquet", "training.safetensors", "weights.safetensors"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """400 training and 97 validation images of scikit-learn's digits, as `prepare` leaves them."""
    folder = tmp_path_factory.mktemp("datasets") / "digits"
    folder.mkdir()
    bunch = load_digits()
    images, labels = (bunch.images * 15).astype(np.uint8)[..., None], bunch.target.astype(np.int64)
    for split, part in {"train": slice(0, 400), "val": slice(400, 497)}.items():
        np.save(folder / f"{split}-images.npy", images[part])
        np.save(folder / f"{split}-labels.npy", labels[part])
        names = [f"{split}-images.npy", f"{split}-labels.npy"]
        facts = {"classes": [str(i) for i in range(10)], "size": 8, "channels": 1}
        facts |= {"mean": [0.3], "std": [0.37]}
        record = {"spec": {}, "inputs": {}, "facts": facts}
        record["outputs"] = {name: digest(folder / name) for name in names}
        write_json(folder / f"prepare-{split}.json", record)
    return folder


def spec(epoch, **changes) -> PretrainSpec:
    values = {
        "source": "cnn",
        "epoch": epoch,
        "dataset": "digits",
        "channels": 1,
        "backbone": {"name": "small-cnn", "widths": [4, 8]},
        "start": None,
        "epochs": 3.0,
        "batch_size": 20,
        "compute": {"device": "cpu", "precision": "fp32", "threads": 1},
    }
    return PretrainSpec.model_validate_json(json.dumps(values | changes))


def snapshot(root, dataset, epoch, before=None, **changes) -> Path:
    """The snapshot's folder, after the stage has run from the folder `before`."""
    wanted = spec(epoch, **changes)
    out = root / wanted.source / f"epoch-{epoch:g}"
    pretrain(
        wanted, dataset=dataset, start=before, out=out, work=root / ".work", identity="identity"
    )
    return out


def chain(root, dataset, *epochs, **changes) -> Path:
    """The last of these snapshots, each continued from the one before."""
    folder = None
    for epoch in epochs:
        folder = snapshot(root, dataset, epoch, folder, **changes)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    names = [*OUTPUTS, "pretrain.json"]
    return {name: (folder / name).read_bytes() for name in names}


def test_the_initialisation_is_random_by_seed(digits, tmp_path):
    folder = snapshot(tmp_path, digits, 0.0)
    assert read_json(folder / "pretrain.json")["facts"] | {"val_top1": None} == {
        "device": "cpu",
        "precision": "fp32",
        "classes": 10,
        "features": 8,
        "steps": 0,
        "val_top1": None,
    }
    weights = load_file(folder / "weights.safetensors")
    assert weights["normalise.mean"].item() == pytest.approx(0.3)
    assert weights["head.weight"].shape == (10, 8)
    assert list(load_file(folder / "training.safetensors")) == ["step"]
    assert contents(snapshot(tmp_path / "again", digits, 0.0)) == contents(folder)
    other = load_file(snapshot(tmp_path / "other", digits, 0.0, seed=1) / "weights.safetensors")
    for name in ("body.0.weight", "head.weight"):
        assert (other[name] != weights[name]).all()


def test_snapshots_in_between_change_no_byte(digits, tmp_path):
    many = chain(tmp_path / "many", digits, 0.0, 0.25, 1.0, 1.6, 3.0)
    few = chain(tmp_path / "few", digits, 0.0, 1.0, 3.0)
    assert contents(many) == contents(few) == contents(chain(tmp_path / "one", digits, 3.0))


def test_the_history_begins_at_the_beginning(digits, tmp_path):
    table = pq.read_table(chain(tmp_path, digits, 0.0, 0.25, 1.5) / "history.parquet")
    types = ["string", "double", "int64", "string", "double", "double"]
    assert table.column_names == ["source", "epoch", "step", "split", "loss", "top1"]
    assert [str(kind) for kind in table.schema.types] == types
    rows = table.to_pylist()
    train = [row for row in rows if row["split"] == "train"]
    val = [row for row in rows if row["split"] == "val"]
    assert [row["step"] for row in train] == list(range(1, 31))
    assert [(row["step"], row["epoch"]) for row in val] == [(0, 0.0), (20, 1.0), (30, 1.5)]
    assert {row["source"] for row in rows} == {"cnn"}
    assert val[-1]["top1"] > 0.3 > val[0]["top1"]


def test_the_record_does_not_name_its_predecessor(digits, tmp_path):
    record = read_json(chain(tmp_path, digits, 0.0, 0.5) / "pretrain.json")
    assert {Path(name).name for name in record["inputs"]} == {
        f"{split}-{part}.npy" for split in ("train", "val") for part in ("images", "labels")
    }
    assert sorted(record["outputs"]) == OUTPUTS
    assert record["facts"]["steps"] == 10


def test_another_sources_body_gets_a_new_head(digits, tmp_path):
    brighter = tmp_path / "brighter"
    shutil.copytree(digits, brighter)
    record = read_json(brighter / "prepare-train.json")
    record["facts"]["mean"] = [0.6]
    write_json(brighter / "prepare-train.json", record)
    teacher = chain(tmp_path, brighter, 0.0, 1.0)
    options = {"source": "pupil", "start": "cnn@1", "seed": 5, "head_bias": True}
    pupil = snapshot(tmp_path, digits, 0.0, teacher, **options)
    ours, theirs = (load_file(f / "weights.safetensors") for f in (pupil, teacher))
    for name, tensor in theirs.items():
        if not name.startswith("head."):
            assert (ours[name] == tensor).all(), name
    assert ours["normalise.mean"].item() == pytest.approx(0.6)  # the body's inputs stay as learnt
    assert not (ours["head.weight"] == theirs["head.weight"]).any()
    assert (ours["head.bias"] == 0).all()
    record = read_json(pupil / "pretrain.json")
    assert str(teacher / "weights.safetensors") in record["inputs"]
    rows = pq.read_table(pupil / "history.parquet").to_pylist()
    assert [(row["source"], row["step"]) for row in rows] == [("pupil", 0)]
    further = snapshot(tmp_path, digits, 0.5, pupil, **options)
    assert read_json(further / "pretrain.json")["facts"]["steps"] == 10


def test_the_order_of_steps_is_what_was_executed(digits, tmp_path):
    timing = read_json(chain(tmp_path, digits, 0.0, 0.5) / "pretrain.timing.json")
    assert (timing["executed_steps"], timing["repeated_steps"], timing["starts"]) == (10, 0, 1)
    assert timing["device"] == "cpu" and timing["precision"] == "fp32"
    assert timing["peak_bytes"] > 10**7


DRIVER = """
import os, signal, sys
from pathlib import Path
from fastpipe.stages.pretrain import PretrainSpec, pretrain
from fastpipe.training import resumption

resumption.LEAST_INTERVAL_SECONDS, resumption.LARGEST_SHARE = 0.0, 1e9
note = resumption.StepLog.note

def fatal(self, run, step):
    note(self, run, step)
    if step == 75:
        os.kill(os.getpid(), signal.SIGKILL)

resumption.StepLog.note = fatal
spec, dataset, start, out, work = sys.argv[1:]
pretrain(PretrainSpec.model_validate_json(spec), dataset=Path(dataset), start=Path(start),
         out=Path(out), work=Path(work), identity="identity")
"""


def test_killed_and_started_again_gives_the_same_bytes(digits, tmp_path):
    """Saved at step 50, killed at 75: at most one interval is repeated."""
    undisturbed = chain(tmp_path / "undisturbed", digits, 0.0, 5.0, epochs=5.0)
    begin = snapshot(tmp_path / "killed", digits, 0.0, epochs=5.0)
    out = begin.with_name("epoch-5")
    places = [str(p) for p in (digits, begin, out, tmp_path / "killed/.work")]
    text = spec(5.0, epochs=5.0).model_dump_json()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", DRIVER, text, *places], env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "pretrain.json").exists() and not (out / "weights.safetensors").exists()

    resumed = snapshot(tmp_path / "killed", digits, 5.0, begin, epochs=5.0)
    assert contents(resumed) == contents(undisturbed)
    timing = read_json(resumed / "pretrain.timing.json")
    assert (timing["executed_steps"], timing["repeated_steps"], timing["starts"]) == (125, 25, 2)
    assert {p.name for p in (tmp_path / "killed/.work").iterdir()} == {"heartbeats", "locks"}


@pytest.mark.fault(23)
def test_divergence_is_told_with_the_remedy(digits, tmp_path):
    with pytest.raises(UserError, match=r"source cnn diverged: the loss of step \d+.*than 1e\+30"):
        snapshot(tmp_path, digits, 1.0, lr=1e30)
    assert not (tmp_path / "cnn/epoch-1/pretrain.json").exists()


def test_a_damaged_predecessor_is_named(digits, tmp_path):
    begin = snapshot(tmp_path, digits, 0.0)
    path = begin / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"epoch-0/weights.safetensors is damaged"):
        snapshot(tmp_path, digits, 1.0, begin)


def test_a_predecessor_of_another_backbone_is_refused(digits, tmp_path):
    begin = snapshot(tmp_path, digits, 0.0)
    with pytest.raises(UserError, match="checkpoint of another backbone"):
        snapshot(tmp_path, digits, 1.0, begin, backbone={"name": "small-cnn", "widths": [4, 9]})


def test_a_predecessor_further_on_is_refused(digits, tmp_path):
    later = chain(tmp_path, digits, 0.0, 1.0)
    with pytest.raises(UserError, match=r"is at step 20, beyond epoch 0.5 of source cnn"):
        snapshot(tmp_path, digits, 0.5, later)


def test_other_channels_are_refused(digits, tmp_path):
    with pytest.raises(UserError, match="dataset digits have 1 channels, but the network takes 3"):
        snapshot(tmp_path, digits, 0.0, channels=3)
