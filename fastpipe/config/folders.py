"""What can be told of a user's image folder from the names in it: classes too small for a split.

Nothing is opened here. What the files hold is looked at by :mod:`fastpipe.inspection`.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fastpipe.config.dataset import Dataset, FolderProvider
from fastpipe.config.image_files import class_folders, image_files, layout_problem, split_folders
from fastpipe.config.shares import apportion

__all__ = ["folder_problems", "leave_out", "served_folder", "split_counts", "split_files"]

Found = Iterator[tuple[tuple[str | int, ...], str]]
Files = Mapping[str, Mapping[str, Sequence[Path]]]
"""Split → class → image files; only `train` where the test split is still to be set aside."""


def served_folder(dataset: Dataset) -> Path | None:
    """The folder that serves a dataset: its first provider, if it is a folder that exists."""
    first = dataset.providers[0]
    if not isinstance(first, FolderProvider):
        return None
    root = Path(first.path).expanduser()
    return root if root.is_dir() else None


def split_files(dataset: Dataset, root: Path) -> Files:
    """Image files of the classes that the dataset keeps."""
    wanted = dataset.classes
    return {
        split: {
            name: image_files(path)
            for name, path in class_folders(folder).items()
            if name not in dataset.without_classes and (wanted is None or name in wanted)
        }
        for split, folder in split_folders(root).items()
    }


def folder_problems(dataset: Dataset) -> Found:
    """Yield (keys below the dataset, message) of what stops `prepare`, all of it at once."""
    root = served_folder(dataset)
    if root is None:
        return
    key = ("providers", 0, "path")
    if problem := layout_problem(root):
        yield key, problem.rstrip(".")
        return
    same = [message for folder in split_folders(root).values() for message in _same_names(folder)]
    if same:  # the classes are not known before that is mended
        yield from ((key, message) for message in same)
        return
    files = split_files(dataset, root)
    for message in (*_missing(root, files), *_too_few(root, files)):
        yield key, message


def _same_names(folder: Path) -> Iterator[str]:
    names = [p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    composed = Counter(unicodedata.normalize("NFC", name) for name in names)
    for name, count in composed.items():
        if count > 1:
            yield f"{folder} holds {count} folders for the class {name!r}; rename one"


def _missing(root: Path, files: Files) -> Iterator[str]:
    everywhere = sorted(set().union(*files.values()))
    if len(everywhere) < 2:
        yield f"{root} has {len(everywhere)} class folders; a dataset needs at least two"
    for split, classes in files.items():
        lacking = [name for name in everywhere if name not in classes]
        if lacking:
            listed = ", ".join(map(repr, lacking))
            yield (
                f"{root}: class {listed} is missing in {split}; add images, or leave it out with "
                f"{leave_out(lacking)}"
            )


def _too_few(root: Path, files: Files) -> Iterator[str]:
    whole = "test" not in files
    least = {"train": 3 if whole else 2, "test": 1}
    why = "one each for train, val and test" if whole else "one for train and one for val"
    for split, classes in files.items():
        few = {name: len(own) for name, own in classes.items() if len(own) < least[split]}
        empty = [name for name, count in few.items() if not count]
        small = {name: count for name, count in few.items() if count}
        enough = len(classes) - len(few) >= 2  # a target needs two classes
        where = f"{root}" if whole else f"{root / split}"
        if empty:
            yield (
                f"{where} has no image of class {', '.join(map(repr, empty))}; add images"
                + (f", or leave it out with {leave_out(empty)}" if enough else "")
            )
        if small:
            listed = ", ".join(f"{name!r} has {count}" for name, count in small.items())
            yield (
                f"{where} has too few images: class {listed}; at least {least[split]} are needed, "
                f"{why}; add images"
                + (f", or leave it out with {leave_out(small)}" if enough else "")
            )


def leave_out(names: Sequence[str]) -> str:
    """The line of YAML that leaves classes out, whatever signs are in their names."""
    return f"`without_classes: {json.dumps(list(names), ensure_ascii=False)}`"


def split_counts(dataset: Dataset, files: Files) -> dict[str, dict[str, int]]:
    """Images of each class in `train`, `val` and `test`, as `prepare` will divide them.

    Raises ValueError where a class is too small to be divided.
    """
    train = {name: len(own) for name, own in files["train"].items()}
    if "test" in files:
        test = {name: len(own) for name, own in files["test"].items()}
    else:
        test = dict(zip(train, apportion(list(train.values()), dataset.test), strict=True))
        train = {name: count - test[name] for name, count in train.items()}
    most = dataset.train_per_class
    train = {name: min(count, most or count) for name, count in train.items()}
    test = {name: min(count, dataset.test_per_class or count) for name, count in test.items()}
    if dataset.validation_per_class is not None:
        val = dict.fromkeys(train, dataset.validation_per_class)
    else:
        val = dict(zip(train, apportion(list(train.values()), dataset.validation), strict=True))
    train = {name: count - val[name] for name, count in train.items()}
    return {"train": train, "val": val, "test": test}
