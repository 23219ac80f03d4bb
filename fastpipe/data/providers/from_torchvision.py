"""The dataset classes of `torchvision.datasets` that hold single-label images."""

import contextlib
import difflib
import inspect
import numbers
import re
import socket
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fastpipe.config.dataset import TorchvisionProvider
from fastpipe.data.providers.downloads import downloaded
from fastpipe.data.providers.hashes import checked_hashes
from fastpipe.data.providers.images import UnreadableError
from fastpipe.data.providers.provided import ImagePictures, Provided, UnavailableError
from fastpipe.errors import UserError

__all__ = ["provide_torchvision"]

_SPLITS = {
    "FGVCAircraft": ("trainval", "test"),
    "OxfordIIITPet": ("trainval", "test"),
    "ImageNet": ("train", "val"),
    "Imagenette": ("train", "val"),
    "Places365": ("train-standard", "val"),
    "RenderedSST2": ("train", "test"),
}
"""Values of the argument `split` for training and test, where they are not `train` and `test`. A
third split (`val` of Flowers102 or DTD) is left out, unless asked for with `also_train`: fastpipe
carves its own from train."""
_LIKE_MNIST = ("QMNIST",)
"""Classes that hand further arguments on to MNIST's constructor. (EMNIST does too, but its `split`
means which of six datasets.)"""
_LABELS = ("targets", "labels", "_labels", "y")
"""Attributes under which torchvision's classes keep their labels."""
_SAMPLES = ("_samples", "samples")
_PATIENCE_S = 60

LARGEST_BYTES = 1 << 40
"""No data set of torchvision's unpacks to more."""


def provide_torchvision(
    provider: TorchvisionProvider, sha256: Mapping[str, str], downloads: Path
) -> Provided:
    """A dataset as torchvision's class gives it, downloaded unless `root` names its folder.

    Raises:
        UnavailableError: torchvision cannot download or find it, or a hash is not the expected one.
        UserError: there is no such class, or its items are not (image, class number) pairs.
    """
    make = _constructor(provider.name)
    root = Path(provider.root).expanduser() if provider.root else None
    if root is None:
        root = downloaded(downloads, f"torchvision-{provider.name}", lambda to: _download(make, to))
    hashes = checked_hashes(root, sha256) if sha256 else {}
    sets = _construct(make, root, download=False)
    classes = _classes(sets[0])
    pictures = [
        _pictures(provider.name, split, dataset)
        for split, dataset in zip(("train", "test"), sets, strict=False)
    ]
    for split in provider.also_train:
        pictures[0] = _joined(
            pictures[0], _pictures(provider.name, split, _split(make, root, split))
        )
    highest = max(int(p.labels.max(initial=0)) for p in pictures)
    return Provided(
        classes=classes or [str(label) for label in range(highest + 1)],
        train=pictures[0],
        test=pictures[1] if len(pictures) > 1 else None,
        sha256=hashes,
    )


def _constructor(name: str) -> Callable[..., Any]:
    from torchvision import datasets

    if name not in datasets.__all__:
        raise UserError(
            f"torchvision has no dataset class {name!r}{_nearest(name, datasets.__all__)}."
        )
    return getattr(datasets, name)


def _nearest(name: str, names: Sequence[str]) -> str:
    by_lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def _download(make: Callable[..., Any], root: Path) -> None:
    _construct(make, root, download=True)


def _construct(make: Callable[..., Any], root: Path, download: bool) -> list[Any]:
    """Training and test set, or the one set of a class without splits."""
    accepted = set(inspect.signature(make).parameters)
    if "kwargs" in accepted and make.__name__ in _LIKE_MNIST:
        accepted.add("download")
    options: dict[str, Any] = {"download": download} if "download" in accepted else {}
    if "train" in accepted:
        choices = [{"train": True}, {"train": False}]
    elif "split" in accepted:
        choices = [{"split": split} for split in _SPLITS.get(make.__name__, ("train", "test"))]
    else:
        choices = [{}]
    try:
        with _guarded():  # some classes unpack what lies in their folder, too
            return [make(root, **options, **choice) for choice in choices]
    except Exception as error:  # torchvision raises whatever its readers and urllib raise
        raise UnavailableError(
            f"torchvision.datasets.{make.__name__}: {type(error).__name__}: {error}"
        ) from None


def _split(make: Callable[..., Any], root: Path, split: str) -> Any:
    """A split by torchvision's own name.

    Raises:
        UserError: the class has no such split.
    """
    try:
        return make(root, split=split)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"torchvision.datasets.{make.__name__} has no split {split!r} to add to training "
            f"(also_train): {error}"
        ) from None


def _joined(some: ImagePictures, more: ImagePictures) -> ImagePictures:
    """The pictures of two splits as one."""
    first = len(some.labels)
    return ImagePictures(
        lambda i: some.open(i) if i < first else more.open(i - first),
        lambda i: some.source(i) if i < first else more.source(i - first),
        np.concatenate([some.labels, more.labels]),
    )


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Downloads give up on a silent server; archives are unpacked by `_filtered` and `_limited`."""
    timeout_before = socket.getdefaulttimeout()
    tar_before, zip_before = tarfile.TarFile.extractall, zipfile.ZipFile.extractall
    tarfile.TarFile.extractall = _filtered(tar_before)
    zipfile.ZipFile.extractall = _limited(zip_before)
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        yield
    finally:
        tarfile.TarFile.extractall, zipfile.ZipFile.extractall = tar_before, zip_before
        socket.setdefaulttimeout(timeout_before)


def _filtered(extract_all: Callable[..., None]) -> Callable[..., None]:
    """Unpack tar archives by Python's `data` filter, and no more than `LARGEST_BYTES`.

    torchvision before 0.29 unpacks them without any filter.
    """

    def extractall(tar: tarfile.TarFile, path: Any = ".", members: Any = None, **_: Any) -> None:
        total = 0

        def checked(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
            nonlocal total
            total += member.size
            _refuse_bomb(tar.name, total)
            return tarfile.data_filter(member, folder)

        extract_all(tar, path, members, filter=checked)

    return extractall


def _limited(extract_all: Callable[..., None]) -> Callable[..., None]:
    """Unpack zip archives, which Python does inside the folder, of at most `LARGEST_BYTES`."""

    def extractall(archive: zipfile.ZipFile, *arguments: Any, **options: Any) -> None:
        _refuse_bomb(archive.filename, sum(info.file_size for info in archive.infolist()))
        extract_all(archive, *arguments, **options)

    return extractall


def _refuse_bomb(archive: object, size: int) -> None:
    if size > LARGEST_BYTES:
        raise UnavailableError(f"{archive} unpacks to more than {LARGEST_BYTES:,} bytes")


def _classes(dataset: Any) -> list[str] | None:
    classes = getattr(dataset, "classes", None) or getattr(dataset, "categories", None)
    if not classes:
        return None
    names = [entry if isinstance(entry, str) else ", ".join(entry) for entry in classes]
    # MNIST's "0 - zero" is "0" here, as it is whoever else provides it.
    names = [re.sub(r"^(\d) - \w+$", r"\1", entry) for entry in names]
    # ImageNet has two kinds of crane.
    return [f"{n} ({i})" if names.count(n) > 1 else n for i, n in enumerate(names)]


def _pictures(name: str, split: str, dataset: Any) -> ImagePictures:
    samples = _attribute(dataset, _SAMPLES)

    def source(index: int) -> str:
        path = samples[index][0] if samples is not None else None
        return str(path) if isinstance(path, str | Path) else f"{name}, {split} image {index}"

    return ImagePictures(lambda index: _open(dataset, index), source, _labels(name, dataset))


def _open(dataset: Any, index: int) -> Image.Image:
    try:
        image = dataset[index][0]
    except Exception as error:  # a decoder fed garbage may raise anything
        raise UnreadableError(f"{type(error).__name__}: {error}") from None
    if not isinstance(image, Image.Image):
        raise UnreadableError(f"torchvision gives a {type(image).__name__}, not an image")
    return image


def _labels(name: str, dataset: Any) -> np.ndarray:
    """Labels without decoding images where the class keeps them, else image by image."""
    kept = _kept_labels(dataset)
    try:
        last = dataset[len(dataset) - 1][1]
    except Exception:  # an image that cannot be read is reported with all others, later
        if kept is not None:
            return kept.astype(np.int64)
        raise
    if not isinstance(last, numbers.Integral):
        raise UserError(
            f"torchvision.datasets.{name} does not label an image with one class number but with "
            f"{type(last).__name__} {str(last)[:80]!r}. Choose another dataset."
        )
    if kept is None or kept[-1] != last:
        kept = np.array([dataset[index][1] for index in range(len(dataset))])
    return kept.astype(np.int64)


def _kept_labels(dataset: Any) -> np.ndarray | None:
    """int (n,) from the attributes of a dataset, if there are such."""
    kept = _attribute(dataset, _LABELS)
    samples = _attribute(dataset, _SAMPLES)
    if kept is None and samples is not None:
        kept = [sample[-1] for sample in samples]
    labels = np.asarray(kept)
    return labels if labels.ndim == 1 and labels.dtype.kind in "iu" else None


def _attribute(dataset: Any, names: Sequence[str]) -> Any:
    for name in names:
        value = getattr(dataset, name, None)
        if value is not None and len(value) == len(dataset) > 0:
            return value
    return None
