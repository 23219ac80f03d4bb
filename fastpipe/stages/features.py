"""Stage `features`: a dataset's classes as points in the feature space of a snapshot."""

from pathlib import Path

import torch
from pydantic import Field

from fastpipe.config.backbone import Backbone
from fastpipe.config.compute import Compute
from fastpipe.config.model import Model
from fastpipe.evaluation.inference import Evaluator
from fastpipe.models.checkpoint import save_tensors
from fastpipe.models.compute import claim_gpu, resolve
from fastpipe.similarity.features import class_means
from fastpipe.stages.job import stage_job
from fastpipe.stages.restoring import class_names, open_snapshot, open_split

__all__ = ["FeaturesSpec", "features"]


class FeaturesSpec(Model):
    """What determines the class means, besides the snapshot and the images."""

    source: str
    """Name of the source."""
    epoch: float
    """Its snapshot, in epochs."""
    dataset: str
    """Name of the dataset whose training split is averaged."""
    channels: int = Field(ge=1)
    """Channels of the images."""
    backbone: Backbone
    """The source's network."""
    compute: Compute
    """Device and threads; the body always computes in fp32 here."""


def features(
    spec: FeaturesSpec, *, snapshot: Path, dataset: Path, out: Path, work: Path, identity: str
) -> None:
    """Mean feature and number of images of each class of a training split.

    Args:
        spec: see :class:`FeaturesSpec`.
        snapshot: folder written by `pretrain`.
        dataset: folder written by `prepare`.
        out: gets `means.safetensors` (means float64 [N, D], counts int64 [N]) and the record.
        work: the `results/.work` folder.
        identity: hash of everything declared that determines the result; goes into the record.

    Raises:
        UserError: an input is missing or damaged, does not fit the backbone, or the snapshot's
            features are not finite.
    """
    split_record = dataset / "prepare-train.json"
    with (
        stage_job(
            "features",
            out,
            spec=spec,
            identity=identity,
            work=work,
            reads=[snapshot / "pretrain.json", split_record],
            packages=["torch", "numpy", "safetensors"],
        ) as job,
        claim_gpu(work / "locks", spec.compute.device),
    ):
        resolved = resolve(spec.compute.model_copy(update={"precision": "fp32"}))
        classes = class_names(split_record)
        network = open_snapshot(job, snapshot, spec.backbone, spec.channels, resolved)
        split = open_split(job, dataset, "train", resolved)
        batches = Evaluator(network).feature_batches(split)
        means, counts = class_means(batches, split.labels, len(classes))
        tensors = {"means": torch.from_numpy(means), "counts": torch.from_numpy(counts)}
        save_tensors(job.output("means.safetensors"), tensors)
        job.state_fact(classes=classes, device=resolved.device.type)
