"""How many images does a dataset have, before and after it is prepared?"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fastpipe.config.classes import class_count
from fastpipe.config.dataset import Dataset, FolderProvider, SklearnProvider, TorchvisionProvider
from fastpipe.config.image_files import is_image
from fastpipe.config.names import dataset_folder

__all__ = ["NotCountedError", "Sizes", "recorded_sizes", "split_sizes"]

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


class NotCountedError(Exception):
    """How many images a dataset has cannot be told before it is prepared."""


@dataclass(frozen=True)
class Sizes:
    """Images in each split; None where it cannot be told before the dataset is prepared."""

    train: int | None
    val: int | None
    test: int | None

    def counted(self) -> Self:
        """These; raises NotCountedError if one cannot be told."""
        if None in (self.train, self.val, self.test):
            raise NotCountedError
        return self


def split_sizes(name: str, dataset: Dataset) -> Sizes:
    """Sizes from the records of a prepared dataset, else from what is known of its provider."""
    prepared = recorded_sizes(dataset_folder(name))
    if prepared is not None:
        return prepared
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


def recorded_sizes(folder: Path) -> Sizes | None:
    """Sizes from the records in a prepared dataset's folder; None if they are not all there."""
    try:
        records = (folder / f"prepare-{split}.json" for split in ("train", "val", "test"))
        return Sizes(*(int(json.loads(r.read_bytes())["facts"]["count"]) for r in records))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _raw_sizes(dataset: Dataset) -> tuple[int, int] | None:
    """Images to train on and to test with, by the first provider that is known and there."""
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
            if folder.is_dir():
                return _cut(_count_files(folder), dataset.test)
    return None


def _cut(total: int, test: float) -> tuple[int, int]:
    return total - round(total * test), round(total * test)


def _count_files(folder: Path) -> int:
    return sum(is_image(name) for _, _, files in os.walk(folder) for name in files)
