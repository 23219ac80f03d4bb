"""What is in a user's file: its digest, read again only if the file has changed."""

import contextlib
import json
from pathlib import Path

from fastpipe.config.names import WORK
from fastpipe.files import digest, write_json

__all__ = ["content_digest"]

NOTES = WORK / "digests.json"
"""Path → what the file was when it was last read, and its digest. It may be lost."""


def content_digest(path: Path) -> str:
    """SHA-256 of a file of any size.

    The digest noted for the same inode, size and times is trusted; notes are only kept where
    there is a folder of results.
    """
    status = path.stat()
    stamp = [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    notes = {}
    with contextlib.suppress(OSError, ValueError):
        notes = dict(json.loads(NOTES.read_bytes()))
    key = str(path.resolve())
    if notes.get(key, {}).get("stamp") != stamp:
        notes[key] = {"stamp": stamp, "sha256": digest(path)}
        if NOTES.parent.is_dir():
            with contextlib.suppress(OSError):
                write_json(NOTES, notes)
    return notes[key]["sha256"]
