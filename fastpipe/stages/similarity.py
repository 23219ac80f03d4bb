"""Stage `similarity`: how far is a target from a source's dataset, seen by one snapshot?"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import Field
from safetensors.numpy import load_file

from fastpipe.config.model import Model
from fastpipe.integrity import read_record
from fastpipe.similarity.emd import DomainSimilarity, domain_similarity
from fastpipe.stages.job import Job, stage_job
from fastpipe.stages.tables import write_table

__all__ = ["SimilaritySpec", "similarity"]


class SimilaritySpec(Model):
    """What determines one similarity, besides the two sets of class means."""

    source: str
    """Name of the source."""
    epoch: float
    """Its snapshot, in epochs."""
    target: str
    """Name of the target dataset."""
    extractor: str
    """The snapshot, `source@epoch`, in whose features they are compared."""
    gamma: float = Field(default=0.01, ge=0)
    """γ in exp(−γ d)."""
    min_count: int = Field(default=0, ge=0)
    """Classes with fewer training images are left out."""


def similarity(
    spec: SimilaritySpec,
    *,
    source_features: Path,
    target_features: Path,
    out: Path,
    work: Path,
    identity: str,
) -> None:
    """Exact earth mover's distance between the class means of source and target.

    Args:
        spec: see :class:`SimilaritySpec`.
        source_features: folder written by `features` for the source's own dataset at the extractor.
        target_features: the same for the target.
        out: gets `similarity.parquet` (one row), `flow.parquet` (a row for each pair of classes
            that exchanges mass) and the record.
        work: the `results/.work` folder.
        identity: hash of everything declared that determines the result; goes into the record.

    Raises:
        UserError: an input is missing or damaged, no class is left, or the solver fails.
    """
    records = [source_features / "features.json", target_features / "features.json"]
    with stage_job(
        "similarity",
        out,
        spec=spec,
        identity=identity,
        work=work,
        reads=records,
        packages=["POT", "numpy", "scipy", "pyarrow"],
    ) as job:
        domains = [_class_means(job, record) for record in records]
        found = domain_similarity(*domains[0], *domains[1], spec.gamma, spec.min_count)
        names = [read_record(record)["facts"]["classes"] for record in records]
        write_table(job, "similarity.parquet", _summary(spec, found))
        write_table(job, "flow.parquet", _flows(spec, found, *names))


def _class_means(job: Job, record: Path) -> tuple[np.ndarray, np.ndarray]:
    # By safetensors.numpy, not fastpipe.models: this stage never needs to import torch.
    tensors = load_file(job.input(record, "means.safetensors"))
    return tensors["means"], tensors["counts"]


def _summary(spec: SimilaritySpec, found: DomainSimilarity) -> pa.Table:
    return pa.table(
        {
            **_identity(spec, 1),
            "extractor": [spec.extractor],
            "distance": [found.distance],
            "similarity": [found.similarity],
            "gamma": pa.array([spec.gamma], pa.float64()),
            "source_classes": [int(found.flow.any(1).sum())],
            "target_classes": [int(found.flow.any(0).sum())],
        }
    )


def _flows(
    spec: SimilaritySpec, found: DomainSimilarity, sources: list[str], targets: list[str]
) -> pa.Table:
    rows, columns = np.nonzero(found.flow)
    return pa.table(
        {
            **_identity(spec, len(rows)),
            "source_class": pa.array([sources[i] for i in rows], pa.string()),
            "target_class": pa.array([targets[j] for j in columns], pa.string()),
            "flow": pa.array(found.flow[rows, columns], pa.float64()),
        }
    )


def _identity(spec: SimilaritySpec, rows: int) -> dict[str, pa.Array]:
    return {
        "source": pa.array([spec.source] * rows, pa.string()),
        "epoch": pa.array([spec.epoch] * rows, pa.float64()),
        "target": pa.array([spec.target] * rows, pa.string()),
    }
