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
            "compute": compute, "score_images_per_class": 200,
        }  # fmt: skip
        return FeaturesSpec.model_validate_json(json.dumps(fields | changes))

    return build


@pytest.fixture
def network(handmade):
    return handmade.network("source", classes=6)


@pytest.fixture
def folders(handmade, network):
    handmade.dataset("mnist", classes=4, split="val", count=30)
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
        f"{folders['dataset']}/val-images.npy",
        f"{folders['dataset']}/val-labels.npy",
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


# --- single images ------------------------------------------------------------------------------


def images(folders):
    return load_file(folders["out"] / "images.safetensors")


def loop(network, folder, split):
    """(features, probabilities, labels) of a split's images, one at a time."""
    pixels, labels = (np.load(folder / f"{split}-{part}.npy") for part in ("images", "labels"))
    with torch.no_grad():
        rows = [network.features(torch.from_numpy(i).permute(2, 0, 1)[None])[0] for i in pixels]
        rows = torch.stack(rows)
        return rows.numpy(), network.head(rows).softmax(1).numpy(), labels


def test_features_and_probabilities_are_those_of_a_plain_loop(spec, folders, network, handmade):
    run(spec(), folders, handmade)
    found = images(folders)
    for split in ("train", "val"):
        features, probabilities, labels = loop(network, folders["dataset"], split)
        np.testing.assert_allclose(found[f"{split}.features"], features, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[f"{split}.probabilities"], probabilities, rtol=1e-4)
        np.testing.assert_array_equal(found[f"{split}.labels"], labels)
        kinds = {found[f"{split}.{name}"].dtype for name in ("features", "probabilities")}
        assert kinds == {np.dtype(np.float32)}


def test_a_sample_holds_images_of_the_split_in_order_and_leaves_the_means(spec, folders, handmade):
    whole, every = run(spec(), folders, handmade), images(folders)
    sampled, some = run(spec(score_images_per_class=3), folders, handmade), images(folders)
    np.testing.assert_array_equal(sampled["means"], whole["means"])
    for split in ("train", "val"):
        expected = np.minimum(np.bincount(every[f"{split}.labels"]), 3)
        np.testing.assert_array_equal(np.bincount(some[f"{split}.labels"]), expected)
        rows = [
            int(abs(every[f"{split}.features"] - row).sum(1).argmin())
            for row in some[f"{split}.features"]
        ]
        assert rows == sorted(set(rows))
        for name in ("features", "probabilities", "labels"):
            np.testing.assert_allclose(
                some[f"{split}.{name}"], every[f"{split}.{name}"][rows], rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize("kept", [2, 5, 20])
def test_means_of_a_sample_are_those_of_its_images(spec, folders, handmade, kept):
    run(spec(score_images_per_class=5), folders, handmade)
    sample = images(folders)
    changes = {"similarity_images_per_class": 5, "score_images_per_class": kept}
    found = run(spec(**changes), folders, handmade)
    assert found["counts"].tolist() == [5] * 4
    for label in range(4):
        own = sample["train.features"][sample["train.labels"] == label]
        np.testing.assert_allclose(found["means"][label], own.mean(0), rtol=1e-5)
