"""How much work is a job? Images to be processed, and seconds by what earlier jobs needed."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fastpipe.config.backbone_names import OURS
from fastpipe.config.classes import class_count
from fastpipe.config.dataset import Dataset, FolderProvider, SklearnProvider, TorchvisionProvider
from fastpipe.config.expansion import BASE_SCALE
from fastpipe.config.image_files import is_image
from fastpipe.config.names import dataset_folder
from fastpipe.config.plan import Job, Plan
from fastpipe.files import canonical_json
from fastpipe.training.protocol import deployment_steps, validation_steps

__all__ = ["Estimate", "Sizes", "split_sizes"]

_KNOWN = {
    "MNIST": (60_000, 10_000),
    "FashionMNIST": (60_000, 10_000),
    "KMNIST": (60_000, 10_000),
    "CIFAR10": (50_000, 10_000),
    "CIFAR100": (50_000, 10_000),
    "SVHN": (73_257, 26_032),
    "STL10": (5_000, 8_000),
}
_KNOWN_WHOLE = {"Caltech256": 30_607}
"""Images of datasets without a test split."""

_START_UP_S = 3.0
"""Seconds of a job before its first image: importing torch, reading arrays."""

_FIRST_GUESS_IMAGES_PER_S = {"pretrain": 7e3, "finetune": 7e3}
"""By stage, for small-cnn at 28 px on one core, until a job of that stage has been timed here."""

_FIRST_GUESS = 15e3


@dataclass(frozen=True)
class Sizes:
    """Images in each split; None where it cannot be told before the dataset is prepared."""

    train: int | None
    val: int | None
    test: int | None


def split_sizes(name: str, dataset: Dataset) -> Sizes:
    """Sizes from the records of a prepared dataset, else from what is known of its provider."""
    prepared = [_recorded_count(name, split) for split in ("train", "val", "test")]
    if all(count is not None for count in prepared):
        return Sizes(*prepared)
    raw = _raw_sizes(dataset)
    classes = class_count(dataset)
    if raw is None or classes is None:
        return Sizes(None, None, None)
    unselected = {"classes": None, "without_classes": ()}
    everything = class_count(dataset.model_copy(update=unselected)) or classes
    train, test = (round(count * classes / everything) for count in raw)
    if dataset.train_per_class:
        train = min(train, dataset.train_per_class * classes)
    if dataset.test_per_class:
        test = min(test, dataset.test_per_class * classes)
    exact = dataset.validation_per_class
    val = round(train * dataset.validation) if exact is None else exact * classes
    return Sizes(train - val, val, test)


def _recorded_count(name: str, split: str) -> int | None:
    try:
        record = json.loads((dataset_folder(name) / f"prepare-{split}.json").read_bytes())
        return int(record["facts"]["count"])
    except (OSError, ValueError, KeyError):
        return None


def _raw_sizes(dataset: Dataset) -> tuple[int, int] | None:
    for provider in dataset.providers:
        if isinstance(provider, TorchvisionProvider) and provider.name in _KNOWN:
            return _KNOWN[provider.name]
        if isinstance(provider, TorchvisionProvider) and provider.name in _KNOWN_WHOLE:
            return _cut(_KNOWN_WHOLE[provider.name], dataset.test)
        if isinstance(provider, SklearnProvider):
            return _cut(1_797, dataset.test)
        if isinstance(provider, FolderProvider):
            folder = Path(provider.path).expanduser()
            if (folder / "train").is_dir():
                return _count_files(folder / "train"), _count_files(folder / "test")
            return _cut(_count_files(folder), dataset.test)
    return None


def _cut(total: int, test: float) -> tuple[int, int]:
    return total - round(total * test), round(total * test)


def _count_files(folder: Path) -> int:
    return sum(is_image(name) for _, _, files in os.walk(folder) for name in files)


class Estimate:
    """Images and seconds of jobs of a plan."""

    def __init__(self, plan: Plan, asked: Iterable[str] = ()):
        """`asked`: targets at other scales than the demo's whose timings count as well; to plan
        them all takes seconds."""
        self.plan = plan
        demo = (name for name, own in plan.targets.items() if own.scale_name == BASE_SCALE)
        self._targets = dict.fromkeys([*demo, *asked])
        self._sizes: dict[str, Sizes] = {}

    def sizes(self, dataset: str) -> Sizes:
        if dataset not in self._sizes:
            self._sizes[dataset] = split_sizes(dataset, self.plan.config.datasets[dataset])
        return self._sizes[dataset]

    def counted(self, dataset: str, counts: Mapping[str, int]) -> None:
        """Take these numbers of images by split for the dataset's: its files were looked at."""
        self._sizes[dataset] = Sizes(**counts)

    def images(self, job: Job) -> int | None:
        """Images that a job passes through the network (or decodes); None if not known yet."""
        spec = json.loads(job.spec)
        try:
            return round(_IMAGES[job.stage](self, spec)) if job.stage in _IMAGES else 0
        except TypeError:  # a size that is not known yet is None
            return None

    def seconds(self, job: Job) -> float:
        """Seconds of one core, by the pace of earlier jobs of its stage and network in these
        results; of its start alone if :meth:`knows` says no."""
        pace = self.images_per_s(job)
        return _START_UP_S + ((self.images(job) or 0) / pace if pace else 0)

    def knows(self, job: Job) -> bool:
        """Whether a job's images and pace can be told."""
        return self.images(job) is not None and self.images_per_s(job) is not None

    def images_per_s(self, job: Job) -> float | None:
        """Of one core; None for a large network of which no job has been timed here."""
        seconds, images = self._pace.get(_kind(job), (0.0, 0))
        if seconds > 0 and images:
            return images / seconds
        network = json.loads(job.spec).get("backbone")
        if network and network["name"] not in OURS:
            return None
        return _FIRST_GUESS_IMAGES_PER_S.get(job.stage, _FIRST_GUESS)

    @cached_property
    def _pace(self) -> dict[tuple[str, str], tuple[float, int]]:
        jobs = (job for name in self._targets for job in self.plan.jobs(name))
        return _paces((job, self.images(job)) for job in dict.fromkeys(jobs))

    # --- images by stage -------------------------------------------------------------------

    def _prepare(self, spec: dict[str, Any]) -> float:
        sizes = self.sizes(spec["dataset"])
        return sizes.train + sizes.val + sizes.test

    def _pretrain(self, spec: dict[str, Any]) -> float:
        if self.plan.config.sources[spec["source"]].library:
            return 0
        snapshots = [0.0, *self.plan.config.sources[spec["source"]].snapshots]
        before = max((epoch for epoch in snapshots if epoch < spec["epoch"]), default=spec["epoch"])
        return (spec["epoch"] - before) * self.sizes(spec["dataset"]).train

    def _features(self, spec: dict[str, Any]) -> float:
        sizes = self.sizes(spec["dataset"])
        return sizes.train + sizes.val

    def _finetune(self, spec: dict[str, Any]) -> float:
        recipe = spec["recipe"]
        steps = validation_steps(recipe["steps"], recipe["protocol"])
        validation = len(steps) * self.sizes(spec["target"]).val
        return len(spec["seeds"]) * (recipe["steps"] * recipe["batch_size"] + validation / 2)

    def _deploy(self, spec: dict[str, Any]) -> float:
        return self._states(spec) * self.sizes(spec["target"]).test

    def _forgetting(self, spec: dict[str, Any]) -> float:
        return self._states(spec) * self.sizes(spec["source_dataset"]).test

    def _states(self, spec: dict[str, Any]) -> int:
        """Deployed states at most: one for each seed and deployment checkpoint."""
        recipe = self.plan.recipes[spec["variant"]]
        steps = deployment_steps(recipe["steps"], recipe["protocol"])
        return len(spec["seeds"]) * len(steps)


_IMAGES = {
    "prepare": Estimate._prepare,
    "pretrain": Estimate._pretrain,
    "features": Estimate._features,
    "finetune": Estimate._finetune,
    "deploy": Estimate._deploy,
    "forgetting": Estimate._forgetting,
}


def _kind(job: Job) -> tuple[str, str]:
    """What jobs of one pace share: stage and network."""
    return job.stage, canonical_json(json.loads(job.spec).get("backbone"))


def _paces(
    jobs: Iterable[tuple[Job, int | None]],
) -> dict[tuple[str, str], tuple[float, int]]:
    """Seconds and images of the jobs that have been timed, by their kind."""
    paces: dict[tuple[str, str], tuple[float, int]] = {}
    for job, images in jobs:
        try:
            timing = json.loads((job.folder / f"{job.stage}.timing.json").read_bytes())
            spent = float(timing["seconds"])
        except (OSError, ValueError, KeyError):
            continue
        if images:
            seconds, count = paces.get(_kind(job), (0.0, 0))
            paces[_kind(job)] = (seconds + spent, count + images)
    return paces
