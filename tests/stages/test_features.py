"""`features` on hand-made images: class means of a plain loop."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from fastpipe.errors import UserError
from fastpipe.files import read_json
from fastpipe.stages.features import FeaturesSpec, features


@pytest.fixture
def spec(backbone, compute):
    def build(**changes):
        fields = {
            "source": "cnn", "epoch": 3, "dataset": "mnist", "channels": 1, "backbone": backbone,
            "compute": compute,
        }  # fmt: skip
        return FeaturesSpec.model_validate_json(json.dumps(fields | changes))

    return build


@pytest.fixture
def network(handmade):
    return handmade.network("source", classes=6)


@pytest.fixture
def folders(handmade, network):
    return {
        "snapshot": handmade.snapshot(network),
        "dataset": handmade.dataset("mnist", classes=4, split="train", count=90),
        "out": handmade.root / "features",
    }


def run(spec, folders, handmade):
    features(spec=spec, **folders, work=handmade.work, identity="i")
    return load_file(folders["out"] / "means.safetensors")


def test_means_are_those_of_a_plain_loop(spec, folders, network, handmade):
    found = run(spec(), folders, handmade)
    images, labels = (
        np.load(folders["dataset"] / f"train-{part}.npy") for part in ("images", "labels")
    )
    with torch.no_grad():
        rows = [network.features(torch.from_numpy(i).permute(2, 0, 1)[None])[0] for i in images]
    rows = torch.stack(rows).double().numpy()
    for label in range(4):
        np.testing.assert_allclose(found["means"][label], rows[labels == label].mean(0), rtol=1e-5)
        assert found["counts"][label] == (labels == label).sum()
    assert found["means"].dtype == np.float64 and found["counts"].dtype == np.int64


def test_the_batch_size_does_not_matter(spec, folders, handmade, monkeypatch):
    whole = run(spec(), folders, handmade)
    monkeypatch.setattr("fastpipe.evaluation.inference.images_per_batch", lambda *_: 7)
    cut = run(spec(), folders, handmade)
    np.testing.assert_allclose(cut["means"], whole["means"], rtol=1e-6)


def test_features_are_fp32_whatever_the_precision(spec, folders, handmade, compute):
    exact = run(spec(), folders, handmade)
    asked = run(spec(compute=compute | {"precision": "bf16"}), folders, handmade)
    np.testing.assert_array_equal(asked["means"], exact["means"])


def test_the_record_names_the_classes(spec, folders, handmade):
    run(spec(), folders, handmade)
    record = read_json(folders["out"] / "features.json")
    assert record["facts"]["classes"] == [f"mnist {label}" for label in range(4)]
    assert record["inputs"].keys() == {
        f"{folders['snapshot']}/weights.safetensors",
        f"{folders['dataset']}/train-images.npy",
        f"{folders['dataset']}/train-labels.npy",
    }


def test_a_diverged_source_is_refused(spec, folders, network, handmade):
    torch.nn.init.constant_(network.body[0].weight, torch.inf)
    handmade.snapshot(network)
    with pytest.raises(UserError, match="features of image 0 are not finite"):
        run(spec(), folders, handmade)
    assert not (folders["out"] / "features.json").exists()


def test_a_snapshot_of_another_backbone_is_refused(spec, folders, handmade, backbone):
    wide = spec(backbone=backbone | {"widths": [4, 8, 8]})
    with pytest.raises(
        UserError, match=r"weights\.safetensors is the checkpoint of another backbone"
    ):
        run(wide, folders, handmade)


def test_a_snapshot_without_a_head_is_refused(spec, folders, network, handmade):
    network.head = torch.nn.Identity()
    handmade.snapshot(network)
    with pytest.raises(UserError, match=r"1 missing: head\.weight"):
        run(spec(), folders, handmade)
