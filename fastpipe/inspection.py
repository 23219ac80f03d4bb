"""A look into users' image folders before anything is computed: what will stop, what to know.

Files are opened as `prepare` opens them, so what it would refuse is found now; within a time limit
that a large folder may reach before its end, which is then said.
"""

import hashlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageOps

from fastpipe.config.dataset import Dataset
from fastpipe.config.folders import (
    Files,
    leave_out,
    served_folder,
    split_counts,
    split_files,
)
from fastpipe.config.image_files import image_files, split_folders
from fastpipe.data.preparation import choose
from fastpipe.data.providers.from_folder import provide_folder
from fastpipe.data.providers.images import UnreadableError, converted, open_image
from fastpipe.errors import UserError, printable
from fastpipe.progress import Progress

__all__ = ["SECONDS", "Inspection", "inspect"]

SECONDS = 30.0
"""How long the files of a folder are looked at."""

UNEVEN = 3.0
"""Classes are called uneven from this ratio of the largest to the smallest on."""

FEW = 5
"""A class with at most so many images to train on is named."""

_NAMED = 8
_EXIF_ORIENTATION = 274


@dataclass
class Inspection:
    """What was found in the folder of one dataset, each with what to do about it."""

    stops: list[str] = field(default_factory=list)
    """What `prepare` would refuse."""
    notes: list[str] = field(default_factory=list)
    """What does not stop it."""
    counts: dict[str, int] | None = None
    """Images of each split, without those that cannot be read; None if `prepare` would refuse."""


def inspect(dataset: Dataset, seconds: float = SECONDS) -> Inspection | None:
    """Look at every file of a dataset's folder; None if no folder serves it.

    What the names alone tell is not repeated in `stops`: loading the configuration refuses it.
    """
    root = served_folder(dataset)
    if root is None:
        return None
    found = Inspection()
    files = split_files(dataset, root)
    found.notes += _case_only(files)
    found.notes += _sizes_of_classes(dataset, files)
    found.notes += _other_files(root)
    looks = _look(dataset, root, files, seconds)
    found.counts = _counts(dataset, looks)
    found.stops += _unreadable(dataset, looks) if not dataset.skip_corrupt else []
    found.notes += _unreadable(dataset, looks) if dataset.skip_corrupt else []
    found.notes += [*_kinds(dataset, looks), *_shapes(dataset, looks), *_partial(looks, files)]
    if "test" in files:
        found.notes += _in_both(root, files)
    return found


# --- names and numbers ----------------------------------------------------------------------------


def _case_only(files: Files) -> Iterator[str]:
    names: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set().union(*files.values())):
        names[name.casefold()].append(name)
    for same in names.values():
        if len(same) > 1:
            yield (
                f"classes {_listed(same)} differ only in case and are two classes; if they are "
                "one, move their images into one folder"
            )


def _sizes_of_classes(dataset: Dataset, files: Files) -> Iterator[str]:
    """Of the classes that are large enough to be divided."""
    least = {"train": 2, "test": 1} if "test" in files else {"train": 3}
    whole = [
        n for n in files["train"] if all(len(files[s].get(n, ())) >= k for s, k in least.items())
    ]
    if not whole:
        return
    try:
        counts = split_counts(dataset, {s: {n: own[n] for n in whole} for s, own in files.items()})
    except ValueError:  # the limits of the dataset leave too few, which is refused elsewhere
        return
    train = counts["train"]
    few = [name for name, count in train.items() if count <= FEW]
    if few:
        listed = ", ".join(
            f"{name!r} ({train[name]} to train on, {counts['val'][name]} for val, "
            f"{counts['test'][name]} for test)"
            for name in few[:_NAMED]
        )
        val = any(counts["val"][name] > 1 for name in few)
        yield (
            f"few images of class {listed}{_more(few)}: its accuracy says little, and "
            "balanced batches show the same ones again and again. Set `batches: shuffled` in the "
            f"recipe{' and `validation_per_class: 1` in the dataset' if val else ''}, or leave it "
            f"out with {leave_out(few)}"
        )
    large, small = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
    if train[large] >= UNEVEN * train[small]:
        yield (
            f"classes are uneven: to train on, {small!r} has {train[small]} and {large!r} "
            f"{train[large]}. Judge by balanced accuracy, which the report then shows. Balanced "
            "batches (the default) weigh classes equally; `batches: shuffled` weighs images equally"
        )


def _other_files(root: Path) -> Iterator[str]:
    other: Counter[str] = Counter()
    for folder in split_folders(root).values():
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                image_files(path, other)
    if other:
        listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(other.items()))
        yield f"files that are no images by their suffix are left out: {listed}"


# --- what the files hold --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Look:
    """One file, as `prepare` would read it."""

    name: str
    problem: str | None = None
    mode: str = ""
    sides: tuple[int, int] = (1, 1)
    turned: bool = False


def _look(dataset: Dataset, root: Path, files: Files, seconds: float) -> list[_Look]:
    """Every file, in random order and until the time is up."""
    paths = [path for classes in files.values() for own in classes.values() for path in own]
    random.Random(0).shuffle(paths)
    end, looks = time.monotonic() + seconds, []
    progress = Progress(f"look at {printable(str(root))}", len(paths), "images")
    with progress, ThreadPoolExecutor() as pool:

        def one(path: Path) -> _Look | None:
            return _open(path, root, dataset.channels) if time.monotonic() < end else None

        for look in pool.map(one, paths):
            progress.advance()
            if look is not None:
                looks.append(look)
    return sorted(looks, key=lambda look: look.name)


def _open(path: Path, root: Path, channels: int) -> _Look:
    name = path.relative_to(root).as_posix()
    try:
        image = open_image(path)
        converted(image, 4, channels)
    except (UnreadableError, UserError) as error:
        return _Look(name, str(error))
    turned = image.getexif().get(_EXIF_ORIENTATION, 1) != 1
    sides = ImageOps.exif_transpose(image).size if turned else image.size
    return _Look(name, mode=_kind(image), sides=sides, turned=turned)


def _kind(image: Image.Image) -> str:
    if image.has_transparency_data:
        return "transparent"
    if image.mode.startswith("I"):
        return "16-bit grey"
    return {"L": "grey", "1": "black and white", "P": "palette", "RGB": "colour"}.get(
        image.mode, image.mode
    )


def _unreadable(dataset: Dataset, looks: Iterable[_Look]) -> list[str]:
    broken = [look for look in looks if look.problem]
    if not broken:
        return []
    listed = "".join(f"\n    {look.name!r}: {look.problem}" for look in broken[:_NAMED])
    what = (
        "they are left out (`skip_corrupt: true`)"
        if dataset.skip_corrupt
        else "mend or remove them, or set `skip_corrupt: true` to leave them out"
    )
    return [f"{_number(len(broken), 'file')} cannot be read; {what}:{listed}{_more(broken)}"]


_TREATMENT = {
    "transparent": "laid on white",
    "16-bit grey": "brought to 8 bits",
    "palette": "expanded",
}


def _counts(dataset: Dataset, looks: Iterable[_Look]) -> dict[str, int] | None:
    broken = {look.name for look in looks if look.problem}
    try:
        splits = choose(dataset, provide_folder(dataset.providers[0], {}))[1]
    except UserError:
        return None
    return {
        split: sum(chosen.pictures.source(i) not in broken for i in chosen.indices.tolist())
        for split, chosen in splits.items()
    }


def _kinds(dataset: Dataset, looks: Iterable[_Look]) -> Iterator[str]:
    readable = [look for look in looks if not look.problem]
    kinds = Counter(look.mode for look in readable)
    if len(kinds) > 1:
        listed = ", ".join(
            f"{count} {kind}" + (f" ({_TREATMENT[kind]})" if kind in _TREATMENT else "")
            for kind, count in kinds.most_common()
        )
        made = "three equal channels" if dataset.channels == 3 else "grey"
        last = f"grey ones get {made}" if dataset.channels == 3 else f"all become {made}"
        yield f"images are of several kinds: {listed}; {last}"
    turned = sum(look.turned for look in readable)
    if turned:
        yield f"{_number(turned, 'image')} turned upright as the camera noted (EXIF)"


def _shapes(dataset: Dataset, looks: Iterable[_Look]) -> Iterator[str]:
    sides = [look.sides for look in looks if not look.problem]
    long = sum(max(pair) > 1.25 * min(pair) for pair in sides)
    if long and dataset.aspect == "stretch":
        yield (
            f"{long} of {len(sides)} images are longer than wide (or wider) by a quarter and more; "
            "they are squeezed into squares. `aspect: keep` cuts out their central square instead"
        )
    small = sum(min(pair) < dataset.size - 2 * dataset.margin for pair in sides)
    if small:
        yield f"{small} of {len(sides)} images are smaller than {dataset.size} px and are enlarged"


def _partial(looks: Sequence[_Look], files: Files) -> Iterator[str]:
    total = sum(len(own) for classes in files.values() for own in classes.values())
    if len(looks) < total:
        yield (
            f"only {len(looks):,} of {total:,} files, chosen at random, were opened in the time "
            "set aside; `prepare` opens them all"
        )


def _in_both(root: Path, files: Files) -> Iterator[str]:
    """Files of the test folder whose bytes are also in the training folder."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in _paths(files["train"].values()):
        by_size[path.stat().st_size].append(path)
    hashes: dict[Path, bytes] = {}

    def mark(path: Path) -> bytes:
        if path not in hashes:
            hashes[path] = hashlib.blake2b(path.read_bytes()).digest()
        return hashes[path]

    same = [
        path.relative_to(root).as_posix()
        for path in _paths(files["test"].values())
        if any(mark(path) == mark(other) for other in by_size.get(path.stat().st_size, []))
    ]
    if same:
        listed = ", ".join(map(repr, same[:_NAMED]))
        yield (
            f"{_number(len(same), 'test image')} also in the training folder, byte by byte, so "
            f"that the test flatters: {listed}{_more(same)}; remove them from one of the two"
        )


def _paths(groups: Iterable[Sequence[Path]]) -> Iterator[Path]:
    for group in groups:
        yield from (path for path in group if path.is_file())


def _listed(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _more(items: Sequence[object]) -> str:
    return f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
