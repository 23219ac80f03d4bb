"""`forgetting` on a hand-made pack: deployed bodies under the head of their snapshot."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from fastpipe.errors import UserError
from fastpipe.files import read_json
from fastpipe.stages.forgetting import ForgettingSpec, forgetting

DEPLOYED = [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 0), (1, 1, 1), (1, 2, 1)]


@pytest.fixture
def spec(backbone, compute):
    fields = {
        "source": "cnn", "epoch": 3, "target": "digits", "variant": "fast", "seeds": [0, 1],
        "channels": 1, "backbone": backbone, "head_bias": False, "compute": compute,
        "source_dataset": "mnist",
    }  # fmt: skip
    return ForgettingSpec.model_validate_json(json.dumps(fields))


@pytest.fixture
def source(handmade):
    return handmade.network("source", classes=6, bias=True)


@pytest.fixture
def states(handmade, source):
    """Target networks with 3 classes; at step 0 the body is the source's."""
    networks = {}
    for seed, _, step in DEPLOYED:
        networks[seed, step] = handmade.network("state", seed, step, classes=3)
        if step == 0:
            networks[seed, step].body = source.body
    return networks


@pytest.fixture
def folders(handmade, source, states):
    snapshot = handmade.snapshot(source)
    return {
        "pack": handmade.pack(snapshot, states, DEPLOYED),
        "snapshot": snapshot,
        "dataset": handmade.dataset("mnist", classes=6, count=60),
    }


def run(spec, folders, handmade):
    forgetting(spec=spec, **folders, work=handmade.work, identity="i")
    return pq.read_table(folders["pack"] / "forgetting.parquet").to_pylist()


def literal_top(network, head, dataset):
    """(top-1, top-5) of a body in inference mode under a head, image by image."""
    images, labels = (np.load(dataset / f"test-{part}.npy") for part in ("images", "labels"))
    ranks = []
    for image, label in zip(images, labels, strict=True):
        with torch.no_grad():
            features = network.features(torch.from_numpy(image).permute(2, 0, 1)[None])
            order = head(features)[0].argsort(descending=True).tolist()
        ranks.append(order.index(label))
    return np.mean(np.array(ranks) < 1), np.mean(np.array(ranks) < 5)


def test_bodies_are_scored_under_the_snapshots_head(spec, folders, source, states, handmade):
    rows = run(spec, folders, handmade)
    before, _ = literal_top(source, source.head, folders["dataset"])
    assert [(row["seed"], row["step"], row["deployed_step"]) for row in rows] == DEPLOYED
    for row in rows:
        network = states[row["seed"], row["deployed_step"]]
        assert (row["top1"], row["top5"]) == literal_top(network, source.head, folders["dataset"])
        assert row["top1_before"] == before
        assert row["forgotten"] == before - row["top1"]
    assert len({row["top1"] for row in rows}) > 2


def test_nothing_is_forgotten_before_the_first_step(spec, folders, handmade):
    rows = run(spec, folders, handmade)
    assert {row["forgotten"] for row in rows if row["deployed_step"] == 0} == {0.0}


def test_one_pass_for_each_distinct_body(spec, folders, handmade):
    """Three moved bodies, and the snapshot's own, which both runs deploy at step 0."""
    run(spec, folders, handmade)
    timing = read_json(folders["pack"] / "forgetting.timing.json")
    assert (timing["states"], timing["passes"]) == (5, 4)


def test_five_source_classes_have_no_top5(spec, folders, states, handmade):
    folders["snapshot"] = handmade.snapshot(handmade.network("five", classes=5))
    folders["pack"] = handmade.pack(folders["snapshot"], states, DEPLOYED)
    folders["dataset"] = handmade.dataset("mnist", classes=5)
    assert {row["top5"] for row in run(spec, folders, handmade)} == {None}


def test_another_dataset_than_the_sources_is_refused(spec, folders, handmade):
    folders["dataset"] = handmade.dataset("other", classes=4)
    with pytest.raises(UserError, match=r"tells 6 classes apart, but .* has 4"):
        run(spec, folders, handmade)


def test_a_damaged_snapshot_is_found(spec, folders, handmade):
    path = folders["snapshot"] / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.safetensors is damaged"):
        run(spec, folders, handmade)
    assert not (folders["pack"] / "forgetting.parquet").exists()


def test_a_state_of_another_backbone_is_refused(spec, folders, states, handmade):
    states[1, 1].body[0] = torch.nn.Conv2d(1, 4, 5, bias=False)
    folders["pack"] = handmade.pack(folders["snapshot"], states, DEPLOYED)
    with pytest.raises(UserError, match=r"seed-1-step-1\.safetensors is the checkpoint of another"):
        run(spec, folders, handmade)
