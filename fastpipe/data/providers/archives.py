"""Unpacking archives that strangers made: nothing ever lands outside the folder given."""

import errno
import shutil
import tarfile
from pathlib import Path, PurePosixPath

__all__ = ["ArchiveError", "unpack_tar"]

_LARGEST_BYTES = 1 << 34
_LARGEST_COUNT = 1_000_000


class ArchiveError(Exception):
    """The archive is damaged, or asks for something no data set needs; the message names it."""


def unpack_tar(archive: Path, folder: Path, largest_bytes: int = _LARGEST_BYTES) -> None:
    """Unpack a tar archive, compressed or not, into an empty `folder`.

    Only plain files and folders with relative names inside the folder are accepted; absolute
    names, `..`, links, devices and pipes are refused, and so are more than `largest_bytes` in
    all. Each member is checked before it is written, and written by us: no link exists that a
    later name could follow, and owners, modes and times are those of any new file.

    Raises ArchiveError; what had been unpacked until then stays in `folder`. OSError if the disk
    is full.
    """
    written = 0
    try:
        with tarfile.open(archive) as tar:
            for count, member in enumerate(tar):
                written += member.size
                _check(archive, member, count, written, largest_bytes)
                _write(tar, member, folder / member.name)
            _read_to_end(tar, archive, largest_bytes)
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ArchiveError(f"{archive.name} cannot be unpacked: {error}") from None


def _read_to_end(tar: tarfile.TarFile, archive: Path, limit: int) -> None:
    """What follows the last member: the compression's checksum stands at the very end."""
    while tar.fileobj.read(1 << 20):
        if tar.fileobj.tell() > 2 * limit:
            raise ArchiveError(f"{archive.name} goes on for over {2 * limit:,} bytes")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    if content is None:
        raise ValueError(f"{member.name!r} has no content")
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)


def _check(archive: Path, member: tarfile.TarInfo, count: int, written: int, limit: int) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        raise ArchiveError(f"{archive.name} holds {member.name!r}, which points outside its folder")
    if not (member.isfile() or member.isdir()):
        raise ArchiveError(
            f"{archive.name} holds {member.name!r}, which is a link or a device, no plain file"
        )
    if written > limit or count >= _LARGEST_COUNT:
        raise ArchiveError(
            f"{archive.name} unpacks to more than {limit:,} bytes or {_LARGEST_COUNT:,} files"
        )
