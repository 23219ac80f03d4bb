"""Malicious archives leave nothing outside their folder."""

import errno
import io
import os
import tarfile

import pytest

from fastpipe.data.providers.archives import ArchiveError, unpack_tar


def _member(name, kind=tarfile.REGTYPE, link="", content=b"evil"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content) if kind == b"0" else 0
    return info, content


def _tar(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content) if info.size else None)
    return path


def _everything(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()
    )


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_an_honest_archive_is_unpacked(tmp_path, mode):
    members = [_member("package/data/x", content=b"1"), _member("package/y", content=b"22")]
    unpack_tar(_tar(tmp_path / "a.tgz", *members, mode=mode), tmp_path / "to")
    assert _everything(tmp_path / "to") == ["package/data/x", "package/y"]
    assert (tmp_path / "to/package/y").read_bytes() == b"22"


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([_member("/tmp/evil-absolute")], "points outside"),
        ([_member("../evil")], "points outside"),
        ([_member("a/../../evil")], "points outside"),
        ([_member("..\\evil")], "points outside"),
        ([_member("link", tarfile.SYMTYPE, "..")], "a link or a device"),
        ([_member("link", tarfile.SYMTYPE, ".."), _member("link/evil")], "a link or a device"),
        ([_member("link", tarfile.SYMTYPE, "/etc/passwd")], "a link or a device"),
        ([_member("link", tarfile.LNKTYPE, "../secret")], "a link or a device"),
        ([_member("pipe", tarfile.FIFOTYPE)], "a link or a device"),
        ([_member("device", tarfile.CHRTYPE)], "a link or a device"),
        ([_member("disk", tarfile.BLKTYPE)], "a link or a device"),
        ([_member("../evil", tarfile.DIRTYPE)], "points outside"),
    ],
)
def test_malicious_members_are_refused(tmp_path, members, reason):
    (tmp_path / "secret").write_text("untouched")
    archive = _tar(tmp_path / "a.tgz", _member("fine"), *members)
    with pytest.raises(ArchiveError, match=rf"a\.tgz holds .*{reason}"):
        unpack_tar(archive, tmp_path / "to")
    assert _everything(tmp_path) == ["a.tgz", "secret", "to/fine"]
    assert (tmp_path / "secret").read_text() == "untouched"
    assert not os.path.lexists("/tmp/evil-absolute")


@pytest.mark.fault(29)
def test_a_bomb_is_stopped_before_it_is_written(tmp_path):
    archive = _tar(tmp_path / "a.tgz", *[_member(f"{i}", content=bytes(600)) for i in range(3)])
    with pytest.raises(ArchiveError, match="unpacks to more than 1,000 bytes"):
        unpack_tar(archive, tmp_path / "to", largest_bytes=1000)
    assert _everything(tmp_path / "to") == ["0"]


@pytest.mark.fault(29)
@pytest.mark.parametrize("keep", [0, 10, 200, 0.5])
def test_cut_archives_are_named(tmp_path, keep):
    archive = _tar(tmp_path / "a.tgz", _member("x", content=os.urandom(5000)))
    content = archive.read_bytes()
    archive.write_bytes(content[: int(keep if isinstance(keep, int) else len(content) * keep)])
    with pytest.raises(ArchiveError, match=r"a\.tgz cannot be unpacked"):
        unpack_tar(archive, tmp_path / "to")


def test_set_user_id_bits_are_dropped(tmp_path):
    info, content = _member("x")
    info.mode = 0o6777
    unpack_tar(_tar(tmp_path / "a.tgz", (info, content)), tmp_path / "to")
    assert (tmp_path / "to/x").stat().st_mode & 0o7111 == 0


def test_of_two_members_of_one_name_the_last_counts_and_a_folder_is_no_file(tmp_path):
    twice = [_member("x", content=b"1"), _member("x", content=b"2")]
    unpack_tar(_tar(tmp_path / "a.tgz", *twice), tmp_path / "to")
    assert (tmp_path / "to/x").read_bytes() == b"2"
    both = [_member("y"), _member("y/z")]
    with pytest.raises(ArchiveError, match=r"a\.tgz cannot be unpacked"):
        unpack_tar(_tar(tmp_path / "a.tgz", *both), tmp_path / "to")


def test_a_full_disk_is_not_the_archives_fault(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(OSError, match="no space left"):
        unpack_tar(_tar(tmp_path / "a.tgz", _member("x")), tmp_path / "to")
