"""What counts as an image in a user's folder, by its name, and where splits and classes are."""

import os
import unicodedata
from collections import Counter
from pathlib import Path

__all__ = [
    "SUFFIXES",
    "class_folders",
    "image_files",
    "is_image",
    "layout_problem",
    "split_folders",
]

_VALIDATION = ("val", "valid", "validation")

SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".tif"),
        *(".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".mpo", ".jp2", ".j2k", ".jpf"),
        *(".jpx", ".avif", ".avifs"),
    }
)
"""Suffixes of raster images, in lower case; other files in class folders are left out."""


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image that is not hidden.

    A file without any suffix counts: its bytes may be an image, and tell.
    """
    suffix = Path(name).suffix.lower()
    return not name.startswith(".") and (suffix in SUFFIXES or not suffix)


def image_files(folder: Path, other: Counter[str] | None = None) -> list[Path]:
    """Image files below `folder`, sorted; links are followed, each folder is entered once.

    Suffixes of files that are no images are counted in `other`.
    """
    files: list[Path] = []
    entered: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in entered else [n for n in folders if not n.startswith(".")]
        if real in entered:
            continue
        entered.add(real)
        shown = [name for name in names if not name.startswith(".")]
        files += [Path(place, name) for name in shown if is_image(name)]
        if other is not None:
            other.update(Path(name).suffix.lower() for name in shown if not is_image(name))
    return sorted(files, key=lambda path: path.as_posix())


def layout_problem(root: Path) -> str | None:
    """Why the folders in `root` are neither classes nor the splits `train` and `test`."""
    names = {p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")}
    reserved = names & {"train", "test", *_VALIDATION}
    if reserved == names == {"train", "test"}:
        return None
    if not reserved or not ({"train", "test"} <= names or reserved == names):
        return None
    return (
        f"{root} holds the folders {', '.join(repr(name) for name in sorted(names)[:8])}; "
        "expected either 'train' and 'test' and nothing else, or one folder per class. The "
        "validation split is carved from train: merge a validation folder into 'train', or call "
        "it 'test' if there is no other."
    )


def split_folders(root: Path) -> dict[str, Path]:
    """Folders `train` and `test` if there are both, else the root as `train`."""
    splits = {name: root / name for name in ("train", "test")}
    return splits if all(folder.is_dir() for folder in splits.values()) else {"train": root}


def class_folders(folder: Path) -> dict[str, Path]:
    """Folder of each class by its name (Unicode, composed form)."""
    return {
        unicodedata.normalize("NFC", path.name): path
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    }
