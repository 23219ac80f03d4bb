"""What counts as an image in a user's folder, by its name, and where splits and classes are."""

import unicodedata
from pathlib import Path

__all__ = ["SUFFIXES", "class_folders", "is_image", "split_folders"]

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
