"""From what a provider serves to three arrays: choose, decode, write, describe.

Images are chosen by their labels before any is decoded. Chosen images are then decoded in
parallel, in blocks, and streamed in order into one `.npy` file per split: memory holds a few
blocks, however large the data set; a full disk is an error, never a crash (as it would be through
a memory map); images left out as unreadable leave no gap.
"""

import difflib
import hashlib
import io
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fastpipe.config.dataset import Dataset
from fastpipe.config.shares import apportion
from fastpipe.crash import crash_point
from fastpipe.data.providers.provided import Failure, Pictures, Provided
from fastpipe.data.splits import shuffled_classes
from fastpipe.errors import UserError
from fastpipe.files import writing

__all__ = [
    "Chosen",
    "Written",
    "card",
    "choose",
    "refuse_repeated",
    "refuse_unreadable",
    "write_split",
]

SplitName = Literal["train", "val", "test"]
_BLOCK_BYTES = 1 << 20
_NAMED = 20
"""So many repeated images are named."""


@dataclass(frozen=True)
class Chosen:
    """Which pictures make up a split."""

    pictures: Pictures
    indices: np.ndarray
    """int64 (n,): positions in `pictures`, in increasing order."""
    labels: np.ndarray
    """int64 (n,): positions in the dataset's list of classes."""


def choose(options: Dataset, provided: Provided) -> tuple[list[str], dict[SplitName, Chosen]]:
    """The classes, and the pictures of each split.

    Where the provider has no test split, the fraction `test` is set aside first; of what remains,
    at most `train_per_class` are taken, and of those the fraction `validation`, or exactly
    `validation_per_class` of each class. So neither limit nor fraction of one split moves an image
    of another, but for the fraction `test` itself.

    Raises UserError naming class and split: an unknown class, fewer than two classes, a label
    out of range, a class without images or with too few for its splits.
    """
    classes = _classes(options, provided)
    train = _by_class(options, provided, provided.train, classes, "train")
    if provided.test is None:
        _refuse_lacking(provided, classes, {"train": train})
        held = apportion([len(group) for group in train], options.test)
        test = [group[:count] for group, count in zip(train, held, strict=True)]
        train = [group[count:] for group, count in zip(train, held, strict=True)]
    else:
        test = _by_class(options, provided, provided.test, classes, "test")
        _refuse_lacking(provided, classes, {"train": train, "test": test})
    train = [group[: options.train_per_class] for group in train]
    test = [group[: options.test_per_class] for group in test]
    held = _held_for_validation(options, train, classes)
    val = [group[:count] for group, count in zip(train, held, strict=True)]
    train = [group[count:] for group, count in zip(train, held, strict=True)]
    return classes, {
        "train": _chosen(provided.train, train),
        "val": _chosen(provided.train, val),
        "test": _chosen(provided.test or provided.train, test),
    }


def _held_for_validation(
    options: Dataset, train: Sequence[np.ndarray], classes: Sequence[str]
) -> list[int]:
    """How many images of each class are held out for validation; each keeps one to train on."""
    exact = options.validation_per_class
    if exact is None:
        _need(train, classes, 2, _WITHOUT_VAL)
        return apportion([len(group) for group in train], options.validation)
    _need(train, classes, exact + 1, f"{exact} for val (validation_per_class) and one for train")
    return [exact] * len(train)


def _classes(options: Dataset, provided: Provided) -> list[str]:
    known, wanted = list(provided.classes), options.classes
    classes = known if wanted is None else list(wanted)
    for name in [*classes, *options.without_classes]:
        if classes.count(name) > 1:
            raise UserError(f"class {name!r} occurs twice. Every class needs its own name.")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UserError(
                f"there is no class {name!r} among the {len(known)} classes provided{hint}"
            )
    classes = [name for name in classes if name not in options.without_classes]
    if len(classes) < 2:
        raise UserError(
            f"a dataset needs at least two classes, this has only {classes}. Add images of another."
        )
    return classes


def _by_class(
    options: Dataset, provided: Provided, pictures: Pictures, classes: Sequence[str], split: str
) -> list[np.ndarray]:
    """Positions of each class's pictures, shuffled."""
    outside = np.flatnonzero((pictures.labels < 0) | (pictures.labels >= len(provided.classes)))
    if len(outside):
        first = outside[0]
        raise UserError(
            f"{len(outside)} labels in {split} are out of range: image {first} has label "
            f"{pictures.labels[first]}, but classes are numbered 0 to {len(provided.classes) - 1}."
        )
    groups = shuffled_classes(pictures.labels, provided.classes, options.seed, split)
    by_name = dict(zip(provided.classes, groups, strict=True))
    return [by_name[name] for name in classes]


def _refuse_lacking(
    provided: Provided, classes: Sequence[str], splits: Mapping[str, Sequence[np.ndarray]]
) -> None:
    """Raises UserError naming every class that is empty in a split, or too small to be divided."""
    problems = []
    for split, groups in splits.items():
        empty = [name for name, group in zip(classes, groups, strict=True) if not len(group)]
        if empty:
            problems.append(f"no image in {split} of class {', '.join(map(repr, empty))}")
    least, why = (2, _WITHOUT_VAL) if "test" in splits else (3, "one each for train, val and test")
    filled = {
        name: group for name, group in zip(classes, splits["train"], strict=True) if len(group)
    }
    problems += _too_small(list(filled.values()), list(filled), least, why)
    _refuse(problems, _left_out(provided))


_WITHOUT_VAL = "one for train and one for val, which would be empty"


def _need(groups: Sequence[np.ndarray], classes: Sequence[str], least: int, why: str) -> None:
    _refuse(_too_small(groups, classes, least, why))


def _too_small(
    groups: Sequence[np.ndarray], classes: Sequence[str], least: int, why: str
) -> list[str]:
    few = [
        f"{name!r} has {len(group)}"
        for name, group in zip(classes, groups, strict=True)
        if len(group) < least
    ]
    listed = ", class ".join(few)
    needed = f"at least {least} are needed, {why}"
    return [f"too few training images: class {listed}; {needed}"] if few else []


def _refuse(problems: Sequence[str], hint: str = "") -> None:
    if problems:
        remedy = "Add images, or leave the class out with `without_classes`."
        raise UserError(f"{'; '.join(problems)}. {remedy}{hint}")


def _left_out(provided: Provided) -> str:
    """A hint at files whose suffix was not taken for an image's."""
    found = ", ".join(f"{count} {suffix}" for suffix, count in provided.other_files.items())
    return f" Files that are no images by their suffix were left out: {found}." if found else ""


def _chosen(pictures: Pictures, groups: Sequence[np.ndarray]) -> Chosen:
    indices = np.concatenate(groups)
    labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    order = np.argsort(indices)
    return Chosen(pictures, indices[order], labels[order])


@dataclass
class Written:
    """What was learnt of a split while its images went by."""

    labels: list[int] = field(default_factory=list)
    fingerprints: list[bytes] = field(default_factory=list)
    """A hash of the pixels of each image kept."""
    source: Callable[[int], str] = str
    """Where the image kept at a position comes from."""
    unreadable: list[Failure] = field(default_factory=list)
    histogram: np.ndarray | None = None
    """int64 (C, 256): how often each value occurs in each channel."""

    def per_class(self, classes: int) -> list[int]:
        """Images kept of each class."""
        return np.bincount(np.array(self.labels, np.int64), minlength=classes).tolist()

    def mean_and_std(self) -> tuple[list[float], list[float]]:
        """Per channel, in units of the largest value 255; exact sums, population deviation."""
        if self.histogram is None:
            raise ValueError("no image was written")
        values = np.arange(256)
        count = self.histogram.sum(axis=1)
        mean = self.histogram @ values / count
        variance = self.histogram @ values**2 / count - mean**2
        return (mean / 255).tolist(), (np.sqrt(variance.clip(min=0)) / 255).tolist()


def write_split(
    chosen: Chosen,
    options: Dataset,
    images: Path,
    labels: Path,
    *,
    whole: bool = True,
    advance: Callable[[int], None] = lambda count: None,
    threads: int | None = None,
) -> Written:
    """Decode the pictures of a split and write `images` (n, side, side, channels) and `labels`.

    Unreadable pictures are left out of both files and reported in the result.

    Args:
        whole: keep all of each image, for crops; False: the middle that networks see (`view`).
        advance: told how many pictures are done.
        threads: decoding threads, default one per core; their number changes no byte.
    """
    kept_indices: list[int] = []
    written = Written(source=lambda position: chosen.pictures.source(kept_indices[position]))
    view = options.size if whole else options.view or options.size
    shape = (view, view, options.channels)
    with writing(images, len(chosen.indices) * math.prod(shape)), images.open("wb") as file:
        _write_header(file, len(chosen.indices), shape)
        for first, block in _decoded(chosen, options, view, threads or _cores()):
            file.write(block.pixels.data)
            _note(written, chosen, first, block)
            kept_indices += chosen.indices[first + block.kept].tolist()
            advance(block.asked)
        kept = len(written.labels)
        file.seek(0)
        _write_header(file, kept, shape)
    crash_point("images-written")
    content = io.BytesIO()  # told to save to a file, numpy hides why it could not be written
    np.save(content, np.array(written.labels, dtype=np.int64))
    labels.write_bytes(content.getvalue())
    crash_point("labels-written")
    return written


def _write_header(file: Any, count: int, shape: tuple[int, ...]) -> None:
    """The header of a .npy file; numpy pads it so that its length does not depend on `count`."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(file, header)


@dataclass(frozen=True)
class _Block:
    pixels: np.ndarray
    """uint8 (k, size, size, channels), of the readable pictures."""
    kept: np.ndarray
    """Which of the pictures asked for these are."""
    asked: int
    failures: list[Failure]
    fingerprints: list[bytes]
    histogram: np.ndarray


def _decoded(
    chosen: Chosen, options: Dataset, view: int, threads: int
) -> Iterator[tuple[int, _Block]]:
    """Blocks of decoded pictures in order, a few of them worked on ahead."""
    length = max(1, _BLOCK_BYTES // (options.size**2 * options.channels))
    ahead: deque[tuple[int, Future[_Block]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(chosen.indices), length):
            part = chosen.indices[first : first + length]
            ahead.append((first, pool.submit(_decode, chosen.pictures, part, options, view)))
            if len(ahead) > 2 * threads:
                start, block = ahead.popleft()
                yield start, block.result()
        for start, block in ahead:
            yield start, block.result()


def _middle(images: np.ndarray, side: int) -> np.ndarray:
    first = (images.shape[1] - side) // 2
    return images[:, first : first + side, first : first + side]


def _decode(pictures: Pictures, indices: np.ndarray, options: Dataset, view: int) -> _Block:
    shape = (options.size, options.size, options.channels)
    pixels = np.zeros((len(indices), *shape), dtype=np.uint8)
    inner = slice(options.margin, options.size - options.margin)
    failures = pictures.fill(pixels[:, inner, inner], indices, options.aspect)
    kept = np.delete(np.arange(len(indices)), [failure.position for failure in failures])
    pixels = _transformed(pixels[kept], options.transforms)
    seen = map(np.ascontiguousarray, _middle(pixels, options.view or options.size))
    pixels = np.ascontiguousarray(_middle(pixels, view))
    return _Block(
        pixels=pixels,
        kept=kept,
        asked=len(indices),
        failures=failures,
        # Of what networks see, which is stored of every split.
        fingerprints=[hashlib.blake2b(image, digest_size=16).digest() for image in seen],
        histogram=np.stack(
            [np.bincount(channel.ravel(), minlength=256) for channel in np.moveaxis(pixels, 3, 0)]
        ),
    )


def _transformed(pixels: np.ndarray, transforms: Sequence[str]) -> np.ndarray:
    for transform in transforms:
        pixels = pixels[:, ::-1, ::-1] if transform == "rotate-180" else 255 - pixels
    return pixels


def _note(written: Written, chosen: Chosen, first: int, block: _Block) -> None:
    written.labels += chosen.labels[first + block.kept].tolist()
    written.fingerprints += block.fingerprints
    written.unreadable += block.failures
    before = 0 if written.histogram is None else written.histogram
    written.histogram = before + block.histogram


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def refuse_unreadable(
    written: Mapping[SplitName, Written], classes: Sequence[str], skip: bool
) -> None:
    """Raises UserError naming every unreadable picture, unless `skip`; and, if skipping has left
    a class without images in a split, naming both."""
    unreadable = [(split, f) for split, notes in written.items() for f in notes.unreadable]
    if unreadable and not skip:
        listed = "\n".join(f"  {f.source!r} ({split}): {f.reason}" for split, f in unreadable)
        raise UserError(
            f"{len(unreadable)} images cannot be read:\n{listed}\n"
            "Mend or remove them, or set `skip_corrupt: true` to leave them out."
        )
    empty = [
        f"class {name!r} in {split}"
        for split, notes in written.items()
        for name, count in zip(classes, notes.per_class(len(classes)), strict=True)
        if not count
    ]
    if empty:
        raise UserError(
            f"no readable image is left of {', '.join(empty)}. "
            "Add images, or leave the class out with `without_classes`."
        )


def card(
    dataset: str,
    options: Dataset,
    provider: str,
    provided: Provided,
    classes: Sequence[str],
    written: Mapping[SplitName, Written],
) -> dict[str, Any]:
    """What a reader wants to know of a prepared dataset, as JSON values."""
    mean, std = written["train"].mean_and_std()
    unreadable = [
        {"split": split, "image": failure.source, "reason": failure.reason}
        for split, notes in written.items()
        for failure in notes.unreadable
    ]
    return {
        "dataset": dataset,
        "provider": provider,
        "licence": provided.licence,
        "sha256": provided.sha256,
        "size": options.size,
        "view": options.view or options.size,
        "aspect": options.aspect,
        "margin": options.margin,
        "channels": options.channels,
        "transforms": list(options.transforms),
        "classes": list(classes),
        "images": {split: len(notes.labels) for split, notes in written.items()},
        "per_class": {split: notes.per_class(len(classes)) for split, notes in written.items()},
        "mean": mean,
        "std": std,
        "unreadable": unreadable,
        "unreadable_count": len(unreadable),
        "other_files": provided.other_files,
        "other_files_count": sum(provided.other_files.values()),
    } | _duplicates(written)


def refuse_repeated(written: Mapping[SplitName, Written], classes: Sequence[str]) -> None:
    """Raises UserError naming images whose exact pixels lie in two splits, or have two labels."""
    seen: dict[bytes, tuple[SplitName, int, int]] = {}
    repeated = []
    for split, notes in written.items():
        for position, mark in enumerate(notes.fingerprints):
            other, where, label = seen.setdefault(mark, (split, position, notes.labels[position]))
            if other != split or label != notes.labels[position]:
                repeated.append(
                    f"  {notes.source(position)!r} ({split}, class "
                    f"{classes[notes.labels[position]]!r}) is also "
                    f"{written[other].source(where)!r} ({other}, class {classes[label]!r})"
                )
    if repeated:
        more = f"\n  and {len(repeated) - _NAMED} more" if len(repeated) > _NAMED else ""
        listed = "\n".join(repeated[:_NAMED]) + more
        raise UserError(
            f"{len(repeated)} images repeat the pixels of another of another split or class, which "
            f"`strict: true` does not allow:\n{listed}\n"
            "Remove them from one of the two, or drop `strict` to have them counted."
        )


def _duplicates(written: Mapping[SplitName, Written]) -> dict[str, Any]:
    """Images of one split whose exact pixels also occur in another, and pixels with two labels."""
    pixels = {split: set(notes.fingerprints) for split, notes in written.items()}

    def shared(split: SplitName, other: SplitName) -> int:
        return sum(mark in pixels[other] for mark in written[split].fingerprints)

    labels: dict[bytes, set[int]] = {}
    for notes in written.values():
        for mark, label in zip(notes.fingerprints, notes.labels, strict=True):
            labels.setdefault(mark, set()).add(label)
    return {
        "duplicates": {
            "test_in_train": shared("test", "train"),
            "test_in_val": shared("test", "val"),
            "val_in_train": shared("val", "train"),
        },
        "images_with_several_labels": sum(len(found) > 1 for found in labels.values()),
    }
