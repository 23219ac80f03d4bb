"""What `pretrain` and `finetune` share: opening what is trained on, and measuring the work."""

from pathlib import Path

from fastpipe.errors import UserError
from fastpipe.models.compute import Resolved
from fastpipe.stages.job import Job
from fastpipe.stages.restoring import class_names, open_split
from fastpipe.training.resumption import StepLog
from fastpipe.training.task import Task

__all__ = ["PACKAGES", "measure_training", "open_task", "training_records"]

PACKAGES = ("torch", "numpy", "pyarrow", "safetensors")
"""Distributions whose versions belong in a training stage's record."""


def training_records(dataset: Path) -> list[Path]:
    """Records of the splits that training reads."""
    return [dataset / "prepare-train.json", dataset / "prepare-val.json"]


def open_task(job: Job, dataset: Path, name: str, channels: int, resolved: Resolved) -> Task:
    """The training and validation splits of a prepared dataset.

    Raises:
        UserError: a file is missing or damaged, or the images have other channels than asked for.
    """
    record = dataset / "prepare-train.json"
    train, val = (open_split(job, dataset, split, resolved) for split in ("train", "val"))
    if train.images.shape[1] != channels:
        raise UserError(
            f"the images of dataset {name} have {train.images.shape[1]} channels, but the "
            f"network takes {channels}. Set `channels` of {name} to {channels}."
        )
    return Task(name, len(class_names(record)), train, val)


def measure_training(job: Job, log: StepLog) -> None:
    """Put the executed steps into the timing file."""
    executed = log.counts()
    job.measure(
        executed_steps=executed.steps,
        repeated_steps=executed.repeated,
        starts=executed.starts,
    )
