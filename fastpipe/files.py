"""Reading and writing files so that nothing half-written ever stands under a final name."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastpipe.crash import crash_point
from fastpipe.errors import UserError

__all__ = [
    "canonical_json",
    "digest",
    "flush_all",
    "flush_to_disk",
    "json_bytes",
    "read_json",
    "refusal",
    "wait_for",
    "write_bytes",
    "write_json",
    "writing",
]

PATIENCE_SECONDS = 5.0
"""How long a stage waits for a file that another machine has written to become visible here."""


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

    Raises UserError when the disk is full or refuses; the previous file, if any, is untouched.
    """
    with writing(path, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            crash_point("file-before-flush")
            flush_to_disk(temporary)
            crash_point("file-before-rename")
            temporary.replace(path)
            crash_point("file-after-rename")
        finally:
            temporary.unlink(missing_ok=True)


def json_bytes(value: Any) -> bytes:
    """Readable JSON with sorted keys: the same value always gives the same bytes."""
    text = json.dumps(value, sort_keys=True, indent=1, allow_nan=False)
    return (text + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON with sorted keys."""
    write_bytes(path, json_bytes(value))


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
            f"{path} is damaged ({error}).", "Delete it and run snakemake again to rebuild it."
        ) from None


def wait_for(paths: Iterable[Path], patience_s: float | None = None) -> None:
    """Wait until files are there, in all at most `patience_s` (default: `PATIENCE_SECONDS`).

    On a network file system a machine may not see at once what another has written. Whoever reads
    a file that is still missing then says so.
    """
    deadline = time.monotonic() + (PATIENCE_SECONDS if patience_s is None else patience_s)
    told = False
    for path in paths:
        while not path.exists() and time.monotonic() < deadline:
            if not told:
                print(f"waiting for {path} to become visible", flush=True)
                told = True
            with contextlib.suppress(OSError):
                list(path.parent.iterdir())  # asks a file server anew what is there
            time.sleep(_POLL_SECONDS)


_POLL_SECONDS = 0.1


@contextlib.contextmanager
def writing(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turn the system's refusals to write `path`, of `needed` bytes, into UserErrors."""
    try:
        yield
    except Exception as error:
        told = refusal(error, path, needed)
        if told is None:
            raise
        raise told from error


def refusal(
    error: BaseException, path: Path, needed: int | None = None, *, at_least: bool = False
) -> UserError | None:
    """What to tell if the system refused to write `path`, of (at least) `needed` bytes.

    None if the error is of another kind.
    """
    code = _code(error)
    if code is None:
        return None
    if code not in _NO_ROOM:
        place = getattr(error, "filename", None) or path
        own = str(place) == str(path)
        what = f"cannot write {path}" if own else f"cannot use {place} while making {path}"
        return UserError(
            f"{what}: {os.strerror(code)}. Nothing was left under that name. {_REMEDIES[code]} and "
            "run snakemake again."
        )
    reason = "" if code == errno.ENOSPC else f" ({os.strerror(code)})"
    least = "at least " if at_least else ""
    bytes_ = "" if needed is None else f": {least}{needed:,} bytes are needed{_free(path)}"
    return UserError(
        f"no space left on the device while writing {path}{reason}{bytes_}. Nothing was left under "
        f"that name. {_REMEDIES[code]} and run snakemake again."
    )


_REMEDIES = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some space, or ask for a larger quota,",
    errno.EFBIG: "Allow larger files (ulimit -f)",
    errno.EIO: "Look at the disk (dmesg)",
    errno.EROFS: "Mount the disk for writing",
    errno.EACCES: "Get the right to write there",
    errno.EPERM: "Get the right to write there",
}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _free(path: Path) -> str:
    for folder in path.absolute().parents:
        with contextlib.suppress(OSError):
            return f", {shutil.disk_usage(folder).free:,} are free"
    return ""


def _code(error: BaseException) -> int | None:
    """The system's number, if it is one of refusals. DuckDB has exceptions of its own, with the
    system's words in their text."""
    if isinstance(error, OSError):
        return error.errno if error.errno in _REMEDIES else None
    if isinstance(error, UserError):
        return None
    if "fsync failed" in str(error):  # DuckDB's words for whatever the system said then
        return errno.EIO
    words = (*_NO_ROOM, errno.EIO)
    return next((code for code in words if os.strerror(code) in str(error)), None)
