"""Records vouch for files: does what lies on disk still have the digest in its record?

Hashing is skipped for a file whose inode, size and modification time are those of the last time
its digest was found right (kept beside the record, in `.<record>.seen`, which nothing depends on).
"""

import json
from collections.abc import Iterable
from pathlib import Path

from fastpipe.errors import UserError
from fastpipe.files import digest, read_json, write_bytes

__all__ = ["remember", "verify"]


def verify(record: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """Check outputs of a record against its digests.

    Args:
        record: a stage's `<stage>.json`.
        names: outputs to check; default: all of them.

    Returns:
        The SHA-256 digest of each checked output, by name.

    Raises:
        UserError: the record is unreadable, does not know a name, or a file is missing or has
            other bytes than the record says; names the file and how to rebuild it.
    """
    content = read_json(record)
    outputs = _outputs(record, content)
    names = list(outputs) if names is None else list(names)
    seen = _read_seen(record)
    fresh: dict[str, list[int]] = {}
    for name in names:
        path = record.parent / name
        if name not in outputs:
            raise UserError(f"{record} does not list {name}. {_remedy(record)}")
        try:
            mark = _mark(path)
        except FileNotFoundError:
            raise UserError(f"{path} is missing. {_remedy(record)}") from None
        if seen.get(name) == mark:
            continue
        if digest(path) != outputs[name]:
            raise UserError(
                f"{path} is damaged: its bytes are not those its record vouches for. "
                f"{_remedy(record)}"
            )
        fresh[name] = mark
    if fresh:
        _write_seen(record, seen | fresh)
    return {name: outputs[name] for name in names}


def remember(record: Path) -> None:
    """Note that all files of a record just written are as it says."""
    outputs = _outputs(record, read_json(record))
    _write_seen(record, {name: _mark(record.parent / name) for name in outputs})


def _outputs(record: Path, content: object) -> dict[str, str]:
    outputs = content.get("outputs") if isinstance(content, dict) else None
    if not isinstance(outputs, dict):
        raise UserError(f"{record} is damaged: it lists no outputs. {_remedy(record)}")
    return outputs


def _remedy(record: Path) -> str:
    return f"Delete {record} and run snakemake again to rebuild it."


def _mark(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _seen_path(record: Path) -> Path:
    return record.with_name(f".{record.stem}.seen")


def _read_seen(record: Path) -> dict[str, list[int]]:
    try:
        return json.loads(_seen_path(record).read_bytes())
    except (OSError, ValueError):
        return {}


def _write_seen(record: Path, seen: dict[str, list[int]]) -> None:
    write_bytes(_seen_path(record), json.dumps(seen, sort_keys=True).encode())
