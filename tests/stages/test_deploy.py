"""`deploy` on a hand-made pack, against a literal evaluation of each deployment."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import confusion_matrix

from fastpipe.errors import UserError
from fastpipe.files import digest, read_json
from fastpipe.stages.deploy import DeploySpec, deploy

DEPLOYED = [(0, 0, 0), (0, 1, 1), (0, 2, 1), (0, 3, 3), (1, 0, 0), (1, 1, 1), (1, 2, 1), (1, 3, 1)]
"""(seed, checkpoint, deployed step): five distinct states for eight deployments."""


@pytest.fixture
def spec(backbone, compute):
    def build(**changes):
        fields = {
            "source": "cnn", "epoch": 3, "target": "digits", "variant": "fast", "seeds": [0, 1],
            "channels": 1, "backbone": backbone, "head_bias": False, "compute": compute,
        }  # fmt: skip
        return DeploySpec.model_validate_json(json.dumps(fields | changes))

    return build


@pytest.fixture
def states(handmade):
    """One network for each distinct state; at step 0 the seeds differ in the head only."""
    networks = {}
    for seed, _, step in DEPLOYED:
        network = handmade.network("state", seed, step, classes=7)
        if step == 0:
            network.body = handmade.network("source", classes=7).body
        networks[seed, step] = network
    return networks


@pytest.fixture
def folders(handmade, states):
    snapshot = handmade.snapshot(handmade.network("source", classes=4))
    return {
        "pack": handmade.pack(snapshot, states, DEPLOYED),
        "snapshot": snapshot,
        "dataset": handmade.dataset("digits", classes=7),
    }


def run(spec, folders, handmade):
    deploy(spec=spec, **folders, work=handmade.work, identity="i")
    return pq.read_table(folders["pack"] / "adp.parquet").to_pylist()


def literal_score(network, dataset):
    """(loss, top-1, top-5) of one network, image by image."""
    images, labels = (np.load(dataset / f"test-{part}.npy") for part in ("images", "labels"))
    losses, ranks = [], []
    for image, label in zip(images, labels, strict=True):
        with torch.no_grad():
            logits = network(torch.from_numpy(image).permute(2, 0, 1)[None])[0].double()
        losses.append(-logits.log_softmax(0)[label].item())
        ranks.append(logits.argsort(descending=True).tolist().index(label))
    ranks = np.array(ranks)
    return np.mean(losses), np.mean(ranks < 1), np.mean(ranks < 5)


def test_each_deployment_is_scored_like_a_plain_evaluation(spec, folders, states, handmade):
    rows = run(spec(), folders, handmade)
    assert [(row["seed"], row["step"], row["deployed_step"]) for row in rows] == DEPLOYED
    for row in rows:
        network = states[row["seed"], row["deployed_step"]]
        loss, top1, top5 = literal_score(network, folders["dataset"])
        assert (row["top1"], row["top5"], row["images"]) == (top1, top5, 40)
        assert row["loss"] == pytest.approx(loss, rel=1e-5)
        identity = [row[name] for name in ("source", "epoch", "target", "recipe")]
        assert identity == ["cnn", 3.0, "digits", "fast"]
    assert len({row["loss"] for row in rows}) == 5


def test_one_pass_for_each_distinct_body(spec, folders, handmade):
    run(spec(), folders, handmade)
    timing = read_json(folders["pack"] / "deploy.timing.json")
    assert (timing["states"], timing["passes"]) == (5, 4)


def test_runs_that_never_move_the_body_need_one_pass(spec, folders, states, handmade):
    for network in states.values():
        network.body = states[0, 0].body
    folders["pack"] = handmade.pack(folders["snapshot"], states, DEPLOYED)
    rows = run(spec(), folders, handmade)
    assert read_json(folders["pack"] / "deploy.timing.json")["passes"] == 1
    for row in rows:
        expected = literal_score(states[row["seed"], row["deployed_step"]], folders["dataset"])
        assert (row["top1"], row["top5"]) == expected[1:]


def test_a_record_names_what_was_read_and_written(spec, folders, handmade):
    run(spec(), folders, handmade)
    record = read_json(folders["pack"] / "deploy.json")
    files = ("adp.parquet", "confusion.parquet")
    assert record["outputs"] == {name: digest(folders["pack"] / name) for name in files}
    states = {f"{folders['pack']}/states/seed-{s}-step-{t}.safetensors" for s, _, t in DEPLOYED}
    assert record["inputs"].keys() == states | {
        f"{folders['pack']}/deployments.parquet",
        f"{folders['dataset']}/test-images.npy",
        f"{folders['dataset']}/test-labels.npy",
    }
    assert record["facts"] == {"device": "cpu", "precision": "fp32"}


def test_the_same_inputs_give_the_same_bytes(spec, folders, handmade):
    run(spec(), folders, handmade)
    first = digest(folders["pack"] / "adp.parquet"), digest(folders["pack"] / "deploy.json")
    run(spec(), folders, handmade)
    assert first == (
        digest(folders["pack"] / "adp.parquet"),
        digest(folders["pack"] / "deploy.json"),
    )


def predictions(network, dataset):
    """Predicted class of each test image, one image at a time."""
    images = np.load(dataset / "test-images.npy")
    with torch.no_grad():
        logits = [network(torch.from_numpy(i).permute(2, 0, 1)[None])[0] for i in images]
    return np.array([row.argmax().item() for row in logits])


def test_the_confusion_of_the_last_states_is_scikit_learns(spec, folders, states, handmade):
    rows = run(spec(), folders, handmade)
    table = pq.read_table(folders["pack"] / "confusion.parquet")
    assert table.column_names[:5] == ["source", "epoch", "target", "recipe", "seed"]
    labels = np.load(folders["dataset"] / "test-labels.npy")
    for seed, step in ((0, 3), (1, 1)):
        own = [row for row in table.to_pylist() if row["seed"] == seed]
        matrix = np.zeros((7, 7), int)
        for row in own:
            assert row["images"] > 0 and matrix[row["label"], row["predicted"]] == 0
            matrix[row["label"], row["predicted"]] = row["images"]
        predicted = predictions(states[seed, step], folders["dataset"])
        np.testing.assert_array_equal(matrix, confusion_matrix(labels, predicted, labels=range(7)))
        last = max((row for row in rows if row["seed"] == seed), key=lambda row: row["step"])
        assert matrix.trace() / 40 == last["top1"]
    assert [row["seed"] for row in table.to_pylist()] == sorted(table["seed"].to_pylist())


def test_an_image_without_numbers_is_of_no_class(spec, folders, states, handmade):
    torch.nn.init.constant_(states[0, 3].head.weight[2:3], float("nan"))
    folders["pack"] = handmade.pack(folders["snapshot"], states, DEPLOYED)
    rows = run(spec(), folders, handmade)
    table = pq.read_table(folders["pack"] / "confusion.parquet").to_pylist()
    assert {row["predicted"] for row in table if row["seed"] == 0} == {-1}
    assert rows[3]["top1"] == 0


def test_a_bias_is_used(spec, folders, states, handmade):
    states = {key: handmade.network("b", *key, classes=7, bias=True) for key in states}
    for network in states.values():
        torch.nn.init.constant_(network.head.bias[3:4], 100.0)
    folders["pack"] = handmade.pack(folders["snapshot"], states, DEPLOYED)
    labels = np.load(folders["dataset"] / "test-labels.npy")
    rows = run(spec(head_bias=True), folders, handmade)
    assert {row["top1"] for row in rows} == {(labels == 3).mean()}


def test_five_classes_have_no_top5(spec, folders, states, handmade):
    states = {key: handmade.network("five", *key, classes=5) for key in states}
    folders["pack"] = handmade.pack(folders["snapshot"], states, DEPLOYED)
    folders["dataset"] = handmade.dataset("digits", classes=5)
    rows = run(spec(), folders, handmade)
    assert {row["top5"] for row in rows} == {None}
    schema = pq.read_schema(folders["pack"] / "adp.parquet")
    assert str(schema.field("top5").type) == "double"


@pytest.mark.fault(23)
def test_a_diverged_run_that_deploys_only_its_first_state(spec, folders, states, handmade):
    deployed = [d for d in DEPLOYED if d[0] == 0] + [(1, 0, 0), (1, 1, 0)]
    states.pop((1, 1))
    folders["pack"] = handmade.pack(folders["snapshot"], states, deployed)
    rows = run(spec(), folders, handmade)
    assert len(rows) == 6
    assert rows[-1]["loss"] == rows[-2]["loss"]


def test_a_flipped_bit_in_a_state_is_found(spec, folders, handmade):
    path = folders["pack"] / "states" / "seed-1-step-1.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 0b100
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"seed-1-step-1\.safetensors is damaged.*run snakemake"):
        run(spec(), folders, handmade)
    assert not (folders["pack"] / "adp.parquet").exists()


def test_a_missing_state_is_named(spec, folders, handmade):
    (folders["pack"] / "states" / "seed-0-step-3.safetensors").unlink()
    with pytest.raises(UserError, match=r"seed-0-step-3\.safetensors is missing"):
        run(spec(), folders, handmade)


@pytest.mark.parametrize("name", ["test-images.npy", "test-labels.npy"])
def test_damaged_test_images_are_found(spec, folders, handmade, name):
    path = folders["dataset"] / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is damaged"):
        run(spec(), folders, handmade)


def test_a_state_of_another_backbone_is_refused(spec, folders, handmade, backbone):
    with pytest.raises(UserError, match=r"seed-0-step-0\.safetensors is the checkpoint of another"):
        run(spec(backbone=backbone | {"widths": [4, 6]}), folders, handmade)


def test_a_state_for_other_classes_is_refused(spec, folders, handmade):
    folders["dataset"] = handmade.dataset("digits", classes=6)
    with pytest.raises(UserError, match=r"another backbone or number of classes.*head\.weight"):
        run(spec(), folders, handmade)


def test_a_pack_of_other_seeds_is_refused(spec, folders, handmade):
    with pytest.raises(UserError, match=r"holds the seeds \[0, 1\], not \[0, 2\]"):
        run(spec(seeds=[0, 2]), folders, handmade)


def test_a_pack_from_another_snapshot_is_refused(spec, folders, handmade):
    handmade.snapshot(handmade.network("changed", classes=4))
    with pytest.raises(UserError, match=r"was not fine-tuned from .* as it is now"):
        run(spec(), folders, handmade)
