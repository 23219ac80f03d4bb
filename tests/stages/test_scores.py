"""`scores` on hand-made features."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from fastpipe.errors import UserError
from fastpipe.files import read_json
from fastpipe.similarity.h_score import h_score, regularised_h_score
from fastpipe.similarity.leep import leep
from fastpipe.similarity.logme import logme
from fastpipe.similarity.nce import nce
from fastpipe.similarity.probes import knn_accuracy, ridge_accuracy
from fastpipe.similarity.transrate import transrate
from fastpipe.stages.scores import ScoresSpec, scores

SPEC = {"source": "cnn", "epoch": 0.25, "target": "digits"}


def sample(seed, n):
    """Features, labels and the head's probabilities of n images."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(3), random.integers(0, 3, n - 3)])
    logits = random.normal(size=(n, 4)) + 2 * np.eye(4)[labels]
    features = random.normal(size=(n, 5)) + np.eye(5)[labels]
    return {
        "features": features.astype(np.float32),
        "labels": labels,
        "probabilities": (np.exp(logits) / np.exp(logits).sum(1)[:, None]).astype(np.float32),
    }


@pytest.fixture
def tensors():
    splits = {"train": sample(0, 40), "val": sample(1, 20)}
    return {f"{split}.{name}": t for split, own in splits.items() for name, t in own.items()}


@pytest.fixture
def run(handmade, tensors):
    def call():
        folder, out = handmade.root / "features", handmade.root / "similarity"
        folder.mkdir(exist_ok=True)
        save_file(tensors, folder / "images.safetensors")
        handmade.record(folder, "features", ["images.safetensors"])
        spec = ScoresSpec.model_validate_json(json.dumps(SPEC))
        scores(spec=spec, features=folder, out=out, work=handmade.work, identity="i")
        return pq.read_table(out / "scores.parquet").to_pylist()

    return call


def test_scores_are_those_of_the_training_images_and_probes_those_of_validation(run, tensors):
    x, y, p = (tensors[f"train.{name}"] for name in ("features", "labels", "probabilities"))
    val = tensors["val.features"], tensors["val.labels"]
    assert {row["score"]: row["value"] for row in run()} == {
        "logme": logme(x, y),
        "leep": leep(p, y),
        "nce": nce(p.argmax(1), y),
        "h-score": h_score(x, y),
        "regularised-h-score": regularised_h_score(x, y),
        "transrate": transrate(x, y),
        "knn": knn_accuracy(x, y, *val),
        "ridge": ridge_accuracy(x, y, *val),
    }


def test_rows_name_their_place_and_the_images_used(run):
    rows = run()
    assert {(row["source"], row["epoch"], row["target"]) for row in rows} == {
        ("cnn", 0.25, "digits")
    }
    assert {row["images"] for row in rows} == {40}


def test_seconds_are_in_the_timing_file_and_the_rest_is_deterministic(run, handmade):
    rows, out = run(), handmade.root / "similarity"
    before = (out / "scores.json").read_bytes()
    seconds = read_json(out / "scores.timing.json")["score_seconds"]
    assert seconds.keys() == {row["score"] for row in rows}
    assert all(value > 0 for value in seconds.values())
    run()
    assert (out / "scores.json").read_bytes() == before


def test_one_class_is_refused_and_leaves_nothing_behind(run, tensors, handmade):
    tensors["train.labels"] = np.zeros(40, np.int64)
    with pytest.raises(UserError, match="all 40 images are of one class"):
        run()
    assert list((handmade.root / "similarity").iterdir()) == []


def test_torch_is_not_imported():
    """Most of this stage's time would be spent on it."""
    program = "import sys; from fastpipe.stages import scores; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
