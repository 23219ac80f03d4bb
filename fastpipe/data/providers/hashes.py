"""Is a provided file the one the user expects? Content hashes, whoever served it."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from fastpipe.data.providers.provided import UnavailableError

__all__ = ["checked_hashes"]


def checked_hashes(
    root: Path, expected: Mapping[str, str], also: Iterable[Path] = ()
) -> dict[str, str]:
    """SHA-256 of the files in `root` that `expected` names and of the files `also`, by name.

    Files are named without `.gz` and hashed after decompression. A name may be a path relative to
    `root`, or just a file name that occurs once below it.

    Raises UnavailableError if an expected file is not there, or any has another hash than expected.
    """
    found = {_plain_name(path): path for path in also}
    missing = [name for name in expected if name not in found]
    found |= {name: _find(root, name) for name in missing}
    hashes = {name: _hash(path) for name, path in found.items()}
    wrong = [name for name in expected if hashes[name] != expected[name].lower()]
    if wrong:
        listed = "; ".join(f"{n} has SHA-256 {hashes[n]}, not {expected[n]}" for n in wrong)
        raise UnavailableError(f"the content is not the expected one: {listed}")
    return hashes


def _plain_name(path: Path) -> str:
    return path.name.removesuffix(".gz")


def _find(root: Path, name: str) -> Path:
    below = [Path(folder, file) for folder, _, files in os.walk(root) for file in files]
    same = [p for p in below if p.relative_to(root).as_posix().removesuffix(".gz") == name]
    same = same or [p for p in below if _plain_name(p) == name]
    unpacked = [p for p in same if p.suffix != ".gz"] or same
    if len(unpacked) != 1:
        count = "no file" if not unpacked else f"{len(unpacked)} files"
        raise UnavailableError(f"sha256 names {name!r}, but {root} holds {count} of that name")
    return unpacked[0]


def _hash(path: Path) -> str:
    hashed = hashlib.sha256()
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while chunk := file.read(1 << 20):
                hashed.update(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise UnavailableError(f"{path} cannot be read: {error}") from None
    return hashed.hexdigest()
