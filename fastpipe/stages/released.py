"""Stage `pretrain` for released weights: the one snapshot of a source not trained here."""

from pathlib import Path

import pyarrow as pa
import torch
from pydantic import Field

from fastpipe.config.backbone import Backbone
from fastpipe.config.model import Model
from fastpipe.config.source import Source
from fastpipe.errors import UserError
from fastpipe.files import digest
from fastpipe.models.checkpoint import save_tensors
from fastpipe.models.hub import default_normalisation, released_state
from fastpipe.models.released import Normalisation, State, read_state, released_tensors
from fastpipe.stages.job import Job, stage_job
from fastpipe.stages.restoring import class_names
from fastpipe.stages.tables import write_table

__all__ = ["ReleasedSpec", "released"]

HISTORY = pa.schema(
    {
        **{"source": pa.string(), "epoch": pa.float64(), "step": pa.int64()},
        **{"split": pa.string(), "loss": pa.float64(), "top1": pa.float64()},
    }
)


class ReleasedSpec(Model):
    """What determines a source of released weights."""

    source: str
    """Name of the source."""
    epoch: float = Field(ge=0, le=0)
    """Always 0."""
    dataset: str | None
    """Name of the dataset whose classes the head tells apart, if its images are at hand."""
    channels: int = Field(ge=1)
    """Channels of the images."""
    backbone: Backbone
    """The network."""
    library: str
    """Whose weights."""
    weights: str | None
    """Which, or the local file that holds them."""
    mean: tuple[float, ...] | None
    """Mean of images in [0, 1], by channel; default: as the library says."""
    std: tuple[float, ...] | None
    """Standard deviation of images in [0, 1], by channel; default: as the library says."""
    sha256: str | None
    """Expected SHA-256 of the local file."""
    content: str | None
    """SHA-256 of the local file: other weights are another source."""

    @property
    def file(self) -> Path | None:
        """The local file, if the weights are read from one."""
        return Source.model_construct(library=self.library, weights=self.weights).file


def released(
    spec: ReleasedSpec,
    *,
    dataset: Path | None,
    downloads: Path,
    out: Path,
    work: Path,
    identity: str,
) -> None:
    """Bring released weights into the form of a snapshot.

    Writes to `out` what `pretrain` writes: `weights.safetensors` (normalise.*, body.*, head.*),
    `training.safetensors` (`step` alone), `history.parquet` (no rows) and the record.

    Args:
        spec: see :class:`ReleasedSpec`.
        dataset: folder written by `prepare`; None if the source has no images.
        downloads: cache of downloaded weights, shared by all results folders.
        out: folder of the snapshot.
        work: the `results/.work` folder.
        identity: hash of everything declared that determines the result; goes into the record.

    Raises:
        UserError: the weights cannot be had, are damaged, not those of the backbone, or their head
            has another number of classes than the dataset.
    """
    with stage_job(
        "pretrain",
        out,
        spec=spec,
        identity=identity,
        work=work,
        reads=[dataset / "prepare-train.json"] if dataset else [],
        packages=("torch", "torchvision", "safetensors", "pyarrow"),
    ) as job:
        state, where = _state(spec, downloads)
        tensors = released_tensors(spec.backbone, state, where, _normalisation(spec))
        classes, features = tensors["head.weight"].shape
        if dataset is not None:
            _check_classes(spec, classes, dataset, where)
        _write(job, tensors)
        job.state_fact(classes=classes, features=features, steps=0, val_top1=None)


def _state(spec: ReleasedSpec, downloads: Path) -> tuple[State, Path | str]:
    """The state dict, and where it comes from in words."""
    if spec.file is None:
        return released_state(spec.library, spec.backbone.name, spec.weights, downloads)
    if spec.sha256 is not None and spec.file.is_file():
        found = digest(spec.file)
        if found != spec.sha256.lower():
            raise UserError(
                f"{spec.file} has SHA-256 {found}, but source {spec.source} declares "
                f"{spec.sha256}. Fetch the file again, or correct `sha256`."
            )
    return read_state(spec.file), spec.file


def _normalisation(spec: ReleasedSpec) -> Normalisation:
    """As declared; what is not declared, as the library says."""
    if spec.mean is not None and spec.std is not None:
        return Normalisation(spec.mean, spec.std)
    default = default_normalisation(
        spec.library, spec.backbone.name, None if spec.file else spec.weights
    )
    return Normalisation(spec.mean or default.mean, spec.std or default.std)


def _check_classes(spec: ReleasedSpec, classes: int, dataset: Path, where: Path | str) -> None:
    names = class_names(dataset / "prepare-train.json")
    if len(names) != classes:
        raise UserError(
            f"the head in {where} tells {classes} classes apart, but dataset {spec.dataset} of "
            f"source {spec.source} has {len(names)}. Remove `dataset` (there is no forgetting and "
            "no similarity then), or name the dataset that the weights were trained on."
        )


def _write(job: Job, tensors: dict[str, torch.Tensor]) -> None:
    save_tensors(job.output("weights.safetensors"), tensors)
    save_tensors(job.output("training.safetensors"), {"step": torch.tensor(0)})
    write_table(job, "history.parquet", HISTORY.empty_table())
