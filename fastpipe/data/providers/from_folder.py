"""Images that lie in one folder per class."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fastpipe.config.dataset import FolderProvider
from fastpipe.config.image_files import image_files, layout_problem
from fastpipe.data.providers.hashes import checked_hashes
from fastpipe.data.providers.images import open_image
from fastpipe.data.providers.provided import ImagePictures, Provided, UnavailableError
from fastpipe.errors import UserError

__all__ = ["provide_folder"]


def provide_folder(provider: FolderProvider, sha256: Mapping[str, str]) -> Provided:
    """Every image file below a class's folder is one of its images.

    Hidden files are left out, and so are files with a suffix that is no image's; these are counted.

    The folder holds class folders, or `train` and `test` folders of class folders. Classes are in
    the order of their names (Unicode, composed form), whatever the file system's order.

    Raises:
        UnavailableError: there is no such folder, or a hash is not the expected one.
        UserError: the layout is ambiguous, a class is in one split only or has no image there, or a
            name is not valid UTF-8.
    """
    root = Path(provider.path).expanduser()
    if not root.is_dir():
        raise UnavailableError(f"there is no folder {root}")
    splits = _splits(root, _subfolders(root))
    found = {split: _class_folders(folder) for split, folder in splits.items()}
    classes = _common_classes(root, found)
    other: Counter[str] = Counter()
    pictures = {split: _pictures(root, classes, found[split], other) for split in found}
    return Provided(
        classes=classes,
        train=pictures["train"],
        test=pictures.get("test"),
        sha256=checked_hashes(root, sha256) if sha256 else {},
        other_files=dict(sorted(other.items())),
    )


def _subfolders(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]


def _splits(root: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """Folder of each split; only `train` (the root) when it is still to be split."""
    if problem := layout_problem(root):
        raise UserError(problem)
    names = {folder.name for folder in folders}
    if names == {"train", "test"}:
        return {"train": root / "train", "test": root / "test"}
    return {"train": root}


def _class_folders(folder: Path) -> dict[str, Path]:
    classes: dict[str, Path] = {}
    for path in _subfolders(folder):
        name = unicodedata.normalize("NFC", path.name)
        if not name.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in name):
            raise UserError(
                f"the folder name {path.name!r} in {folder} is not valid UTF-8. Rename it."
            )
        if name in classes:
            raise UserError(f"{folder} holds two folders for the class {name!r}. Rename one.")
        classes[name] = path
    return classes


def _common_classes(root: Path, found: Mapping[str, Mapping[str, Path]]) -> list[str]:
    everywhere = sorted(set().union(*found.values()))
    if not everywhere:
        raise UserError(f"{root} has no class folders. Put the images of each class into one.")
    lacking = [
        f"class {name!r} is missing in {split}"
        for name in everywhere
        for split, folders in found.items()
        if name not in folders
    ]
    if lacking:
        raise UserError(f"{root}: {'; '.join(lacking)}. Add its images or leave the class out.")
    return everywhere


def _pictures(
    root: Path, classes: Sequence[str], folders: Mapping[str, Path], other: Counter[str]
) -> ImagePictures:
    files = [image_files(folders[name], other) for name in classes]
    paths = [path for group in files for path in group]
    return ImagePictures(
        open=lambda index: open_image(paths[index]),
        source=lambda index: paths[index].relative_to(root).as_posix(),
        labels=np.repeat(np.arange(len(classes)), [len(group) for group in files]),
    )
