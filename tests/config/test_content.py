"""The digest of a user's file follows its bytes, and is not computed again without need."""

import hashlib

import pytest

from fastpipe.config import content
from fastpipe.config.content import content_digest


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content.NOTES.parent.mkdir(parents=True)
    (tmp_path / "w.pth").write_bytes(b"one")
    return tmp_path / "w.pth"


def test_it_is_the_sha256(file):
    assert content_digest(file) == hashlib.sha256(b"one").hexdigest()


def test_other_bytes_of_the_same_size_are_seen(file):
    first = content_digest(file)
    file.write_bytes(b"two")
    assert content_digest(file) != first


def test_an_unchanged_file_is_not_read_again(file, monkeypatch):
    first = content_digest(file)
    monkeypatch.setattr(content, "digest", lambda path: pytest.fail("read again"))
    assert content_digest(file) == first


@pytest.mark.parametrize("damage", [b"{", b"[]", b"{}"])
def test_lost_or_damaged_notes_cost_only_time(file, damage):
    first = content_digest(file)
    content.NOTES.write_bytes(damage)
    assert content_digest(file) == first


def test_nothing_is_written_where_there_are_no_results(file):
    content.NOTES.parent.rmdir()
    content_digest(file)
    assert not content.NOTES.parent.exists()
