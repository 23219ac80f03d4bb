"""The stage that brings released weights into the form of a snapshot."""

import json

import pyarrow.parquet as pq
import pytest
import torch
import torchvision

from fastpipe.config.backbone import Backbone
from fastpipe.errors import UserError
from fastpipe.files import digest, read_json
from fastpipe.models.checkpoint import load_tensors
from fastpipe.models.compute import resolve
from fastpipe.stages.features import FeaturesSpec
from fastpipe.stages.job import stage_job
from fastpipe.stages.released import ReleasedSpec, released
from fastpipe.stages.restoring import open_snapshot

NAME = "mobilenet_v3_small"


@pytest.fixture
def weights(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = torchvision.models.get_model(NAME, num_classes=5)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    return tmp_path / "w.pth"


@pytest.fixture
def write(handmade, weights):
    def run(folder=None, **changes):
        spec = {
            **{"source": "net", "epoch": 0.0, "dataset": None, "channels": 3, "content": None},
            **{"backbone": {"name": NAME}, "library": "torchvision", "weights": str(weights)},
            **{"mean": None, "std": None, "sha256": None},
        }
        out = handmade.root / "sources" / "net" / "epoch-0"
        released(
            ReleasedSpec.model_validate_json(json.dumps(spec | changes)),
            dataset=folder,
            downloads=handmade.root / "downloads",
            out=out,
            work=handmade.work,
            identity="id",
        )
        return out

    return run


def test_the_usual_files_are_written(write, weights, handmade, compute):
    out = write()
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".seen") == [
        *("history.parquet", "pretrain.json", "pretrain.timing.json"),
        *("training.safetensors", "weights.safetensors"),
    ]
    record = read_json(out / "pretrain.json")
    assert (record["stage"], record["spec"]["source"]) == ("pretrain", "net")
    assert record["facts"] == {"classes": 5, "features": 1024, "steps": 0, "val_top1": None}
    history = pq.read_table(out / "history.parquet")
    assert history.num_rows == 0
    assert dict(zip(history.column_names, map(str, history.schema.types), strict=True)) == {
        **{"source": "string", "epoch": "double", "step": "int64"},
        **{"split": "string", "loss": "double", "top1": "double"},
    }
    tensors = load_tensors(out / "weights.safetensors")
    assert tensors["normalise.mean"].tolist() == pytest.approx([0.485, 0.456, 0.406])
    state = torch.load(weights, weights_only=True)
    assert torch.equal(tensors["head.weight"], state["classifier.3.weight"])
    spec = FeaturesSpec.model_validate_json(
        json.dumps(
            {"source": "net", "epoch": 0, "dataset": "d", "channels": 3, "backbone": {"name": NAME}}
            | {"score_images_per_class": 2, "compute": compute}
        )
    )
    with stage_job("x", handmade.root / "x", spec=spec, identity="i", work=handmade.work) as job:
        network = open_snapshot(job, out, Backbone(name=NAME), 3, resolve(spec.compute))
    assert network.head.out_features == 5


def test_declared_constants_win(write):
    tensors = load_tensors(write(std=[0.5, 0.25, 1.0]) / "weights.safetensors")
    assert tensors["normalise.std"].tolist() == [0.5, 0.25, 1.0]
    assert tensors["normalise.mean"].tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_the_bytes_are_always_the_same(write):
    first = digest(write() / "weights.safetensors")
    assert digest(write() / "weights.safetensors") == first


def test_a_head_that_fits_the_dataset_is_kept(write, handmade):
    dataset = handmade.dataset("own", 5, "train", channels=3)
    assert read_json(write(dataset, dataset="own") / "pretrain.json")["facts"]["classes"] == 5


def test_a_head_that_does_not_fit_the_dataset_is_refused(write, handmade):
    dataset = handmade.dataset("own", 4, "train", channels=3)
    with pytest.raises(UserError, match=r"w.pth tells 5 classes apart, but dataset own of source"):
        write(dataset, dataset="own")


def test_the_hash_is_checked(write, weights):
    write(sha256=digest(weights).upper())
    with pytest.raises(UserError, match=r"w.pth has SHA-256 [0-9a-f]{64}, but source net declares"):
        write(sha256="0" * 64)


def test_another_backbone_is_told(write):
    with pytest.raises(UserError, match=r"w.pth does not hold weights of resnet18: \d+ missing: "):
        write(backbone={"name": "resnet18"})
