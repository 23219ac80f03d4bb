"""Stage `scores`: how well will a snapshot serve a target? Told from its features alone."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors.numpy import load_file

from fastpipe.config.model import Model
from fastpipe.similarity.h_score import h_score, regularised_h_score
from fastpipe.similarity.leep import leep
from fastpipe.similarity.logme import logme
from fastpipe.similarity.nce import nce
from fastpipe.similarity.probes import knn_accuracy, ridge_accuracy
from fastpipe.similarity.transrate import transrate
from fastpipe.stages.job import stage_job
from fastpipe.stages.tables import write_table

__all__ = ["ScoresSpec", "scores"]

Images = dict[str, np.ndarray]
"""The tensors of `images.safetensors`, by name without their split."""


class ScoresSpec(Model):
    """What determines the scores, besides the features."""

    source: str
    """Name of the source."""
    epoch: float
    """Its snapshot, in epochs."""
    target: str
    """Name of the target dataset."""


def scores(spec: ScoresSpec, *, features: Path, out: Path, work: Path, identity: str) -> None:
    """Every score of transferability of one snapshot to one target; larger is better.

    Args:
        spec: see :class:`ScoresSpec`.
        features: folder written by `features` for the target at the snapshot.
        out: gets `scores.parquet` (a row for each score) and the record; the timing file tells the
            seconds that each score took.
        work: the `results/.work` folder.
        identity: hash of everything declared that determines the result; goes into the record.

    Raises:
        UserError: the input is missing or damaged, or the target's training images are of one
            class.
    """
    record = features / "features.json"
    with stage_job(
        "scores",
        out,
        spec=spec,
        identity=identity,
        work=work,
        reads=[record],
        packages=["numpy", "scipy", "pyarrow"],
    ) as job:
        # By safetensors.numpy, not fastpipe.models: this stage never needs to import torch.
        tensors = load_file(job.input(record, "images.safetensors"))
        train, val = _split(tensors, "train"), _split(tensors, "val")
        found, seconds = {}, {}
        with job.progress(f"scores on {spec.target}", len(_SCORES), "scores") as progress:
            for name, score in _SCORES.items():
                started = time.perf_counter()
                found[name] = score(train, val)
                seconds[name] = time.perf_counter() - started
                progress.advance()
        write_table(job, "scores.parquet", _table(spec, found, len(train["labels"])))
        job.measure(score_seconds=seconds)


def _split(tensors: Images, split: str) -> Images:
    start = f"{split}."
    return {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}


def _of_features(score: Callable[..., float]) -> Callable[[Images, Images], float]:
    return lambda train, val: score(train["features"], train["labels"])


def _probe(accuracy: Callable[..., float]) -> Callable[[Images, Images], float]:
    return lambda train, val: accuracy(
        train["features"], train["labels"], val["features"], val["labels"]
    )


_SCORES: dict[str, Callable[[Images, Images], float]] = {
    "logme": _of_features(logme),
    "leep": lambda train, val: leep(train["probabilities"], train["labels"]),
    "nce": lambda train, val: nce(train["probabilities"].argmax(1), train["labels"]),
    "h-score": _of_features(h_score),
    "regularised-h-score": _of_features(regularised_h_score),
    "transrate": _of_features(transrate),
    "knn": _probe(knn_accuracy),
    "ridge": _probe(ridge_accuracy),
}


def _table(spec: ScoresSpec, found: dict[str, float], images: int) -> pa.Table:
    rows = len(found)
    return pa.table(
        {
            "source": pa.array([spec.source] * rows, pa.string()),
            "epoch": pa.array([spec.epoch] * rows, pa.float64()),
            "target": pa.array([spec.target] * rows, pa.string()),
            "score": pa.array(list(found), pa.string()),
            "value": pa.array(list(found.values()), pa.float64()),
            "images": pa.array([images] * rows, pa.int64()),
        }
    )
