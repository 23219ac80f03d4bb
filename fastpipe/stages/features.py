"""Stage `features`: a dataset in the feature space of a snapshot, classes and single images."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from fastpipe.config.backbone import Backbone
from fastpipe.config.compute import Compute
from fastpipe.config.model import Model
from fastpipe.data.arrays import Split
from fastpipe.evaluation.inference import Evaluator
from fastpipe.models.checkpoint import save_tensors
from fastpipe.models.network import Network
from fastpipe.progress import Progress
from fastpipe.similarity.features import class_means
from fastpipe.similarity.sampling import drawn_per_class
from fastpipe.stages.device_use import INFERENCE, on_device
from fastpipe.stages.job import Job, stage_job
from fastpipe.stages.restoring import class_names, open_snapshot, open_split

__all__ = ["FeaturesSpec", "features"]


class FeaturesSpec(Model):
    """What determines the features, besides the snapshot and the images."""

    source: str
    """Name of the source."""
    epoch: float
    """Its snapshot, in epochs."""
    dataset: str
    """Name of the dataset."""
    similarity_images_per_class: int | None = Field(default=None, ge=1)
    """Training images of each class that are averaged; None: all."""
    score_images_per_class: int = Field(ge=2)
    """Images of each class, of training and validation, whose own features are kept."""
    channels: int = Field(ge=1)
    """Channels of the images."""
    backbone: Backbone
    """The source's network."""
    compute: Compute
    """Device and threads; the body always computes in fp32 here."""


def features(
    spec: FeaturesSpec, *, snapshot: Path, dataset: Path, out: Path, work: Path, identity: str
) -> None:
    """Mean features of the training split's classes, and features of some images.

    Args:
        spec: see :class:`FeaturesSpec`.
        snapshot: folder written by `pretrain`.
        dataset: folder written by `prepare`.
        out: gets the record, `means.safetensors` (means float64 [N, D], counts int64 [N]) and
            `images.safetensors`: of each split `train` and `val`, in the order of the split,
            `<split>.features` float32 [n, D], `<split>.labels` int64 [n] and, by the snapshot's
            own head, `<split>.probabilities` float32 [n, source classes].
        work: the `results/.work` folder.
        identity: hash of everything declared that determines the result; goes into the record.

    Raises:
        UserError: an input is missing or damaged, does not fit the backbone, or the snapshot's
            features are not finite.
    """
    records = [dataset / f"prepare-{split}.json" for split in ("train", "val")]
    compute = spec.compute.model_copy(update={"precision": "fp32"})
    with (
        stage_job(
            "features",
            out,
            spec=spec,
            identity=identity,
            work=work,
            reads=[snapshot / "pretrain.json", *records],
            packages=["torch", "numpy", "safetensors"],
        ) as job,
        on_device(job, compute, INFERENCE) as resolved,
    ):
        classes = class_names(records[0])
        network = open_snapshot(job, snapshot, spec.backbone, spec.channels, resolved)
        train, val = (open_split(job, dataset, split, resolved) for split in ("train", "val"))
        seen = train.middle(val.images.shape[-1])
        means, counts, kept = _means(job, spec, network, seen, len(classes))
        tensors = {"means": torch.from_numpy(means), "counts": torch.from_numpy(counts)}
        save_tensors(job.output("means.safetensors"), tensors)
        chosen = drawn_per_class(val.labels, spec.score_images_per_class, spec.dataset, "val")
        kept |= _kept("val", network, Evaluator(network).features(_part(val, chosen)))
        kept["val.labels"] = val.labels[chosen]
        save_tensors(job.output("images.safetensors"), kept)
        job.state_fact(classes=classes, device=resolved.device.type)


def _means(
    job: Job, spec: FeaturesSpec, network: Network, split: Split, classes: int
) -> tuple[np.ndarray, np.ndarray, dict[str, Tensor]]:
    """Class means, counts, and what is kept of single images, each image passed through once."""
    averaged, chosen = (
        drawn_per_class(split.labels, number, spec.dataset, "train")
        for number in (spec.similarity_images_per_class, spec.score_images_per_class)
    )
    used = averaged | chosen
    batches = Evaluator(network).feature_batches(_part(split, used))
    single: list[Tensor] = []
    device = network.head.weight.device
    with job.progress(spec.dataset, int(used.sum()), "images", device=device) as progress:
        watched = _watched(batches, averaged[used], chosen[used], single, progress)
        means, counts = class_means(watched, split.labels[averaged], classes)
    kept = _kept("train", network, torch.cat(single))
    return means, counts, kept | {"train.labels": split.labels[chosen]}


def _watched(
    batches: Iterable[Tensor],
    averaged: Tensor,
    chosen: Tensor,
    single: list[Tensor],
    progress: Progress,
) -> Iterator[Tensor]:
    """Features of the images to be averaged; those of chosen images go to `single`."""
    seen = 0
    for batch in batches:
        rows = slice(seen, seen + len(batch))
        seen += len(batch)
        progress.advance(len(batch))
        single.append(batch[chosen[rows].to(batch.device)])
        yield batch[averaged[rows].to(batch.device)]


def _part(split: Split, chosen: Tensor) -> Split:
    """The chosen images of a split, in its order."""
    if chosen.all():
        return split
    return Split(*split.gather(chosen.nonzero()[:, 0], split.images.device))


@torch.inference_mode()
def _kept(split: str, network: Network, features: Tensor) -> dict[str, Tensor]:
    probabilities = network.head(features).softmax(1)
    return {f"{split}.features": features, f"{split}.probabilities": probabilities}
