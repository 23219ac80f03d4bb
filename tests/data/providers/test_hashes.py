"""Content hashes."""

import gzip
import hashlib

import pytest

from fastpipe.data.providers.hashes import checked_hashes
from fastpipe.data.providers.provided import UnavailableError

X, Y = (hashlib.sha256(content).hexdigest() for content in (b"x", b"y"))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "deep/b.gz").write_bytes(gzip.compress(b"y"))
    return tmp_path


def test_files_are_hashed_after_decompression_wherever_they_lie(root):
    assert checked_hashes(root, {"a": X, "b": Y.upper()}) == {"a": X, "b": Y}
    assert checked_hashes(root, {"deep/b": Y}) == {"deep/b": Y}
    assert checked_hashes(root, {}, also=[root / "a", root / "deep/b.gz"]) == {"a": X, "b": Y}


def test_the_unpacked_file_comes_before_the_packed_one(root):
    (root / "other").mkdir()
    (root / "other/b").write_bytes(b"x")
    assert checked_hashes(root, {"b": X}) == {"b": X}


@pytest.mark.fault(29)
def test_wrong_content_is_named_with_both_hashes(root):
    with pytest.raises(UnavailableError, match=f"b has SHA-256 {Y}, not {X}"):
        checked_hashes(root, {"a": X, "b": X})
    with pytest.raises(UnavailableError, match=f"a has SHA-256 {X}, not {Y}"):
        checked_hashes(root, {"a": Y}, also=[root / "a"])


def test_a_file_must_be_there_once(root):
    with pytest.raises(UnavailableError, match=r"names 'c', but .* holds no file of that name"):
        checked_hashes(root, {"c": X})
    (root / "deep/a").write_bytes(b"x")
    assert checked_hashes(root, {"a": X}) == {"a": X}  # the path itself, not the other file
    (root / "deep/deeper").mkdir()
    (root / "deep/deeper/b").write_bytes(b"y")
    (root / "b").write_bytes(b"y")
    (root / "b").rename(root / "deep/deeper/e")
    (root / "deep/e").write_bytes(b"y")
    with pytest.raises(UnavailableError, match=r"names 'e', but .* holds 2 files"):
        checked_hashes(root, {"e": Y})


def test_damaged_compression_is_named(root):
    (root / "deep/b.gz").write_bytes((root / "deep/b.gz").read_bytes()[:-3])
    with pytest.raises(UnavailableError, match=r"b\.gz cannot be read"):
        checked_hashes(root, {"b": Y})
