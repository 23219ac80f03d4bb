"""What a source that is released weights may say of itself, and where they come from."""

import importlib.util
from collections.abc import Iterator

from fastpipe.config.backbone_names import BACKBONES, OURS, TIMM, is_timm
from fastpipe.config.problems import nearest
from fastpipe.config.source import Pretraining, Source

__all__ = ["backbone_problem", "released_problems"]

Found = Iterator[tuple[tuple[str, ...], str]]

_OF_RELEASED = ("weights", "mean", "std", "sha256")


def released_problems(source: Source) -> Found:
    """Yield (keys below the source, message) of what does not belong together."""
    if source.library is None:
        for field in _OF_RELEASED:
            if getattr(source, field) is not None:
                yield (field,), "is for released weights; set `library`, or remove this key"
        return
    for field in [*Pretraining.model_fields, "start"]:
        if field in source.model_fields_set:
            message = f"released weights are not trained; remove {field}, or `library`"
            yield (field,), message
    if source.snapshots != (0.0,):
        found = list(source.snapshots)
        yield ("snapshots",), f"released weights have the one snapshot [0]; found {found}"
    yield from _library(source)
    yield from _file(source)
    yield from _normalisation(source)


def backbone_problem(name: str) -> str | None:
    """Why there is no backbone of that name."""
    if not is_timm(name):
        hint = nearest(name, BACKBONES)
        return None if name in BACKBONES else f"unknown backbone {name!r}; {hint}"
    if name == TIMM:
        return "timm/ needs the name of a model, for example timm/resnet18"
    if importlib.util.find_spec("timm") is None:
        return f"{name} needs timm, which is not installed; pip install 'fastpipe[timm]' or timm"
    return None


def _library(source: Source) -> Found:
    name = source.backbone.name
    if source.library == "timm" and not is_timm(name):
        yield ("backbone", "name"), f"library timm has no {name!r}; write timm/NAME"
    if source.library == "torchvision" and (is_timm(name) or name in OURS):
        yield ("backbone", "name"), f"library torchvision has no {name!r}"


def _file(source: Source) -> Found:
    if source.library == "file" and source.weights is None:
        yield ("weights",), "library file needs the path of the file of weights"
    if source.file is not None and not source.file.is_file():
        message = f"there is no file {source.file} (relative paths start at the working directory)"
        yield ("weights",), message
    if source.sha256 is not None and source.file is None:
        yield ("sha256",), "is of a local file; name the file in `weights`, or remove this key"


def _normalisation(source: Source) -> Found:
    for field in ("mean", "std"):
        value = getattr(source, field)
        if value is None and source.library == "file":
            message = f"library file needs {field}, one number for each channel of images in [0, 1]"
            yield (field,), message
        if value and source.backbone.name not in OURS and len(value) != 3:
            message = f"{source.backbone.name} takes 3 channels; found {field} of {len(value)}"
            yield (field,), message
    if source.mean and source.std and len(source.mean) != len(source.std):
        message = f"has {len(source.std)} numbers, but mean has {len(source.mean)}"
        yield ("std",), message
