"""A packed study (:mod:`fastpipe.packing`) unpacked, with nothing taken on trust."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from fastpipe.config.packed import PACKED
from fastpipe.errors import UserError
from fastpipe.files import writing
from fastpipe.packing import Summary, code_now, signed

__all__ = ["open_study"]

_MOST_MANIFEST = 256 * 2**20
_CHUNK = 2**20


def open_study(pack: Path, folder: Path) -> Summary:
    """Unpack a study into a new or empty folder, each file checked against the manifest.

    Only plain files that the manifest names, below `results` and `config`, with the sizes it says,
    are written. The folder appears when everything is there.

    Raises:
        UserError: `pack` is no packed study, is damaged or cut short, names anything that does
            not belong in a pack, or `folder` is not empty. Nothing is left behind.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} is there and not empty. Name a new folder.")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    with writing(folder), _as_user_error(pack), pack.open("rb") as file:
        temporary.mkdir(parents=True)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                manifest = _extract(tar, temporary, pack)
            if folder.exists():
                folder.rmdir()
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    now, then = code_now(), manifest["code"]
    other = tuple(stage for stage in now if now[stage] != then.get(stage))
    sizes = [size for size, _ in manifest["files"].values()]
    return Summary(manifest["study"], len(sizes) + 1, sum(sizes), len(manifest["left_out"]), other)


@contextlib.contextmanager
def _as_user_error(pack: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if error.filename != str(pack):
            raise
        raise UserError(f"there is no file {pack}.") from None
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f"{pack} is damaged or no packed study ({error}).") from None


def _extract(tar: tarfile.TarFile, folder: Path, pack: Path) -> dict[str, Any]:
    first = tar.next()
    if first is None or first.name != PACKED.as_posix() or not _is_plain(first):
        raise UserError(f"{pack} is no packed study: it does not begin with {PACKED}.")
    if first.size > _MOST_MANIFEST:
        raise UserError(f"{pack} is damaged: {PACKED} is said to have {first.size} bytes.")
    text = tar.extractfile(first).read()
    manifest = _checked(text, pack)
    _write(folder / PACKED, io.BytesIO(text))
    missing = dict(manifest["files"])
    for member in tar:
        if member.name == first.name:
            continue
        if member.name not in missing or not _is_plain(member):
            raise UserError(f"{pack} is refused: {member.name!r} does not belong in a pack.")
        size, expected = missing.pop(member.name)
        if member.size == size:
            found = _write(folder / member.name, tar.extractfile(member))
        if member.size != size or found != expected:
            raise UserError(f"{pack} is damaged: {member.name} is not as it was packed.")
    if missing:
        raise UserError(f"{pack} is cut short: {min(missing)} is not in it.")
    return manifest


def _checked(text: bytes, pack: Path) -> dict[str, Any]:
    """The manifest, if it is whole and names nothing outside the two folders."""
    try:
        manifest = json.loads(text)
        told = manifest.pop("digest")
        names = list(manifest["files"])
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UserError(f"{pack} is damaged: {PACKED} cannot be read.") from None
    if signed(manifest)["digest"] != told:
        raise UserError(f"{pack} is damaged: {PACKED} is not as it was packed.")
    for name in names:
        parts = PurePosixPath(name).parts
        inside = parts[:1] in (("results",), ("config",)) and len(parts) > 1
        if not inside or ".." in parts or name != "/".join(parts) or "\0" in name:
            raise UserError(f"{pack} is refused: {name!r} does not belong in a pack.")
    return manifest


def _is_plain(member: tarfile.TarInfo) -> bool:
    return member.isreg() and not member.issparse()


def _write(path: Path, file: BinaryIO) -> str:
    """Write a file; returns its digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    total = hashlib.sha256()
    with path.open("xb") as out:
        while content := file.read(_CHUNK):
            total.update(content)
            out.write(content)
    return total.hexdigest()
