"""What every part of the configuration has in common."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


class Model(BaseModel):
    """A frozen section of the configuration: no unknown keys, no silent conversions.

    Fields are described by the string literal below them. Such strings are dropped from code
    fingerprints like any docstring, so rewording a description reruns nothing.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


def _no_trailing_dot(name: str) -> str:
    if name.endswith("."):
        raise ValueError("a name must not end with a dot")
    return name


Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64),
    AfterValidator(_no_trailing_dot),
]
"""A name that becomes a folder: letters, digits, dot, dash, underscore. The signs @ + = / are
used by snapshots and variants and so are not allowed."""


def _usable_path(path: str) -> str:
    if not path or "\0" in path:
        raise ValueError("a path must not be empty or hold NUL")
    if len(path.encode()) > 4000 or any(len(part.encode()) > 255 for part in path.split("/")):
        raise ValueError("a path of over 4,000 bytes, or with a part of over 255, cannot be there")
    try:
        Path(path).expanduser()
    except RuntimeError:
        raise ValueError("there is no home folder of that user") from None
    return path


PathText = Annotated[str, AfterValidator(_usable_path)]
"""A path that a file system can have; `~` is expanded where it is used."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$")]
"""A SHA-256 in hexadecimal."""
