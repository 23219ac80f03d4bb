"""What can be told of a dataset's classes before it is prepared: names, number, fewest images."""

from collections.abc import Iterator
from pathlib import Path

from fastpipe.config.dataset import Dataset, FolderProvider, SklearnProvider, TorchvisionProvider
from fastpipe.config.folders import folder_problems
from fastpipe.config.image_files import class_folders, image_files, split_folders
from fastpipe.config.problems import nearest

__all__ = ["class_count", "dataset_problems", "lost_folders"]

Found = Iterator[tuple[tuple[str | int, ...], str]]

_COUNTS = {
    **dict.fromkeys(["MNIST", "FashionMNIST", "KMNIST", "QMNIST", "CIFAR10", "SVHN", "STL10"], 10),
    "CIFAR100": 100,
    "Caltech256": 257,  # the last is 257.clutter
    "ImageNet": 1000,
}
_FEWEST = {
    **{"MNIST": 5421, "FashionMNIST": 6000, "KMNIST": 6000, "CIFAR10": 5000, "CIFAR100": 500},
    **{"SVHN": 4659, "STL10": 500, "Caltech256": 80},
}
"""Training images of the smallest class."""

_WITHOUT_TEST_SPLIT = ("Caltech256",)
_DIGITS = 174
"""Images of the smallest class of scikit-learn's digits."""


def class_count(dataset: Dataset) -> int | None:
    """Number of classes if it can be told without preparing the dataset."""
    if dataset.classes is not None:
        return len([name for name in dataset.classes if name not in dataset.without_classes])
    everything = _provided(dataset)
    return None if everything is None else everything - len(set(dataset.without_classes))


def _provided(dataset: Dataset) -> int | None:
    if (names := _names(dataset)) is not None:
        return len(names)
    for provider in dataset.providers:
        if isinstance(provider, TorchvisionProvider) and provider.name in _COUNTS:
            return _COUNTS[provider.name]
    return None


def _names(dataset: Dataset) -> list[str] | None:
    """Names of the classes that the first provider of which they are known has."""
    for provider in dataset.providers:
        if isinstance(provider, SklearnProvider):
            return [str(digit) for digit in range(10)]
        if isinstance(provider, TorchvisionProvider) and provider.name in _COUNTS:
            return None
        if isinstance(provider, FolderProvider):
            root = Path(provider.path).expanduser()
            return list(class_folders(split_folders(root)["train"])) if root.is_dir() else None
    return None


def dataset_problems(dataset: Dataset) -> Found:
    """Yield (keys below the dataset, message) of what cannot be prepared."""
    yield from folder_problems(dataset)
    names = _names(dataset)
    known = names if dataset.classes is None else list(dataset.classes)
    for index, name in enumerate(dataset.without_classes):
        if known is not None and name not in known:
            yield ("without_classes", index), f"there is no class {name!r}; {nearest(name, known)}"
    yield from _validation(dataset)


def lost_folders(dataset: Dataset) -> Found:
    """A folder that is not there is a problem if no other provider could serve in its place."""
    folders = [
        Path(provider.path).expanduser()
        for provider in dataset.providers
        if isinstance(provider, FolderProvider)
    ]
    if len(folders) == len(dataset.providers) and not any(folder.is_dir() for folder in folders):
        for index, folder in enumerate(folders):
            message = f"there is no folder {folder} (relative paths start at the working directory)"
            yield ("providers", index, "path"), message


def _validation(dataset: Dataset) -> Found:
    asked, most, fewest = dataset.validation_per_class, dataset.train_per_class, _fewest(dataset)
    if asked is None:
        return
    if most is not None and asked >= most:
        message = f"{asked} of {most} images of each class (train_per_class) leave none to train on"
        yield ("validation_per_class",), message
    elif fewest is not None and asked >= fewest:
        message = f"the smallest class has {fewest} training images; {asked} leave none to train on"
        yield ("validation_per_class",), message


def _fewest(dataset: Dataset) -> int | None:
    """Training images, those for validation included, of the smallest class."""
    kept = 1 - dataset.test
    for provider in dataset.providers:
        if isinstance(provider, SklearnProvider):
            return int(_DIGITS * kept)
        if isinstance(provider, TorchvisionProvider):
            count = _FEWEST.get(provider.name)
            return int(count * kept) if count and provider.name in _WITHOUT_TEST_SPLIT else count
        if isinstance(provider, FolderProvider):
            root = Path(provider.path).expanduser()
            return _fewest_files(root, dataset, kept) if root.is_dir() else None
    return None


def _fewest_files(root: Path, dataset: Dataset, kept: float) -> int | None:
    splits = split_folders(root)
    counts = [
        len(image_files(folder))
        for name, folder in class_folders(splits["train"]).items()
        if name not in dataset.without_classes and name in (dataset.classes or [name])
    ]
    whole = min(counts, default=None)
    return whole if whole is None or "test" in splits else int(whole * kept)
