"""The downloads folder: each download is a folder that stands there complete or not at all."""

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from fastpipe.crash import crash_point
from fastpipe.files import writing

__all__ = ["downloaded", "forget"]


def downloaded(downloads: Path, name: str, fetch: Callable[[Path], None]) -> Path:
    """The folder of download `name`, filled by `fetch` if it is not there yet.

    `fetch` is given an empty folder beside the final one, which is renamed only when it returns;
    what an interrupted download left is removed. A file lock lets jobs share one download.

    Raises whatever `fetch` raises, and UserError when the disk is full.
    """
    final = downloads / _safe(name)
    final.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(_lock(final)), writing(final):
        if final.is_dir():
            return final
        partial = final.with_name(f".{final.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            fetch(partial)
            crash_point("download-before-rename")
            partial.rename(final)
            crash_point("download-after-rename")
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final


def forget(downloads: Path, name: str) -> None:
    """Remove download `name`, so that the next to ask for it fetches it again."""
    final = downloads / _safe(name)
    with FileLock(_lock(final)):
        shutil.rmtree(final, ignore_errors=True)


def _safe(name: str) -> str:
    """A file name for any text; texts that differ only in replaced signs stay apart."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:100]
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _lock(final: Path) -> Path:
    return final.with_name(f".{final.name}.lock")
