"""Records vouch for files: does what lies on disk still have the digest in its record?

Hashing is skipped for a file whose inode, size and times are those of the last time its digest was
found right (kept beside the record, in `.<record>.seen`, which nothing depends on).
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fastpipe.crash import crash_point
from fastpipe.errors import UserError
from fastpipe.files import canonical_json, digest, read_json, write_bytes

__all__ = ["fault", "read_record", "remember", "sealed", "verify"]


def verify(
    record: Path, names: Iterable[str] | None = None, *, content: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Check outputs of a record against its digests.

    Args:
        record: a stage's `<stage>.json`.
        names: outputs to check; default: all of them.
        content: the record, if it has been read already.

    Returns:
        The SHA-256 digest of each checked output, by name.

    Raises:
        UserError: the record is unreadable, does not know a name, or a file is missing or has
            other bytes than the record says; names every such file and how to rebuild it.
    """
    outputs = (content or read_record(record))["outputs"]
    names = list(outputs) if names is None else list(names)
    seen = _read_seen(record)
    fresh: dict[str, list[int]] = {}
    faults: list[str] = []
    for name in names:
        path = record.parent / name
        if name not in outputs:
            faults.append(f"{record} does not list {name}.")
            continue
        mark = _mark(path)
        if mark is not None and seen.get(name) == mark:
            continue
        if found := fault(path, outputs[name]):
            faults.append(found)
        elif mark is not None:
            fresh[name] = mark
    if faults:
        raise UserError("\n".join(faults), _remedy(record))
    if fresh:
        with contextlib.suppress(OSError, UserError):  # a reader without the right to write here
            _write_seen(record, seen | fresh)
    return {name: outputs[name] for name in names}


def fault(path: Path, wanted: str) -> str | None:
    """What is wrong with a file that must have a SHA-256 digest, in a sentence; it is read."""
    try:
        if digest(path) == wanted:
            return None
    except FileNotFoundError:
        return f"{path} is missing."
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}."
    return f"{path} is damaged: its bytes are not those its record vouches for."


def remember(record: Path) -> None:
    """Note that all files of a record just written are as it says."""
    outputs = read_record(record)["outputs"]
    marks = {name: _mark(record.parent / name) for name in outputs}
    _write_seen(record, {name: mark for name, mark in marks.items() if mark is not None})


_KEYS = {"stage", "identity", "spec", "inputs", "outputs", "versions", "facts", "seal"}


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A record's content with a digest of its own, so that damage to the record is known too."""
    return {**content, "seal": _seal(content)}


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(dict(content)).encode()).hexdigest()


def read_record(record: Path) -> dict[str, Any]:
    """A record, with its `inputs` and `outputs` (path or name → digest).

    One without a seal was written by hand, and is taken as it is.

    Raises:
        UserError: it is missing, not a record, or damaged; says how to rebuild it.
    """
    content = read_json(record)
    for key in ("inputs", "outputs"):
        if not isinstance(content, dict) or not isinstance(content.get(key), dict):
            raise UserError(f"{record} is damaged: it lists no {key}.", _remedy(record))
    if unknown := content.keys() - _KEYS:
        raise UserError(f"{record} is damaged: what is {min(unknown)!r}?", _remedy(record))
    if content.pop("seal", None) not in (None, _seal(content)):
        raise UserError(f"{record} is damaged: it is not as it was written.", _remedy(record))
    return content


def _remedy(record: Path) -> str:
    return f"Delete {record} and run snakemake again to rebuild it."


def _mark(path: Path) -> list[int] | None:
    """What tells that a file is still the same; None if it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _seen_path(record: Path) -> Path:
    return record.with_name(f".{record.stem}.seen")


def _read_seen(record: Path) -> dict[str, list[int]]:
    try:
        seen = json.loads(_seen_path(record).read_bytes())
    except (OSError, ValueError):
        return {}
    return seen if isinstance(seen, dict) else {}


def _write_seen(record: Path, seen: dict[str, list[int]]) -> None:
    crash_point("seen-before")
    write_bytes(_seen_path(record), json.dumps(seen, sort_keys=True).encode())
    crash_point("seen-after")
