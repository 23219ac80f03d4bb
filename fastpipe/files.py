"""Reading and writing files so that nothing half-written ever stands under a final name."""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastpipe.errors import UserError

__all__ = [
    "canonical_json",
    "digest",
    "flush_all",
    "flush_to_disk",
    "no_space_is_a_user_error",
    "read_json",
    "write_bytes",
    "write_json",
]


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_to_disk(path: Path) -> None:
    """Force a file's (or folder's) bytes to the disk, and let its mode follow the umask."""
    _flush(path)
    _follow_umask(path)


def flush_all(paths: Sequence[Path]) -> None:
    """Force several files to the disk together: the file system then writes its journal once for
    many of them, which is several times as fast as one after the other."""
    with ThreadPoolExecutor(_FLUSHES_AT_ONCE) as pool:
        list(pool.map(_flush, paths))
    for path in paths:
        _follow_umask(path)


_FLUSHES_AT_ONCE = 8


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _follow_umask(path: Path) -> None:
    if path.is_file():
        path.chmod(0o666 & ~_umask())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: Path, content: bytes) -> None:
    """Write under a temporary name in the same folder, flush, then rename.

    Raises UserError when the disk is full; the previous file, if any, is untouched.
    """
    with no_space_is_a_user_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            flush_to_disk(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON with sorted keys (the same value always gives the same bytes)."""
    text = json.dumps(value, sort_keys=True, indent=1, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Parse a JSON file; raises UserError naming the file if it is missing, closed or damaged."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run snakemake again to rebuild it.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise UserError(
            f"{path} is damaged ({error}). Delete it and run snakemake again to rebuild it."
        ) from None


@contextlib.contextmanager
def no_space_is_a_user_error(path: Path) -> Iterator[None]:
    """Turn "no space left" and quota errors while writing `path` into a UserError."""
    try:
        yield
    except Exception as error:
        if not _tells_of_no_space(error):
            raise
        raise UserError(
            f"no space left on the device while writing {path}. Nothing was left under that name. "
            "Free some space and run snakemake again."
        ) from error


def _tells_of_no_space(error: Exception) -> bool:
    """DuckDB has exceptions of its own, with the system's words in their text."""
    codes = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError):
        return error.errno in codes
    return not isinstance(error, UserError) and any(os.strerror(c) in str(error) for c in codes)
