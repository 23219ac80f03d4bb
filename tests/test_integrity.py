import json
import os
import time
from pathlib import Path

import pytest

from fastpipe import integrity
from fastpipe.errors import UserError
from fastpipe.files import digest
from fastpipe.integrity import read_record, remember, sealed, verify

NAMES = ["a.bin", "states/b.bin"]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record that vouches for two files."""
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() * 100)
    outputs = {name: digest(tmp_path / name) for name in NAMES}
    path = tmp_path / "stage.json"
    path.write_text(json.dumps({"inputs": {}, "outputs": outputs}))
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed."""
    names: list[str] = []

    def noted(path: Path) -> str:
        names.append(path.name)
        return digest(path)

    monkeypatch.setattr(integrity, "digest", noted)
    return names


def flip(path: Path, bit: int) -> None:
    """Flip one bit, and put the size and the time of modification of before back."""
    time.sleep(0.01)  # a clock tick of the file system, so that the time of change differs
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_whole_files_give_their_digests(record: Path) -> None:
    assert verify(record) == {name: digest(record.parent / name) for name in NAMES}
    assert list(verify(record, ["a.bin"])) == ["a.bin"]
    assert verify(record, []) == {}


def test_what_was_found_right_is_not_hashed_again(record: Path, hashed: list[str]) -> None:
    verify(record)
    verify(record)
    verify(record, ["a.bin"])
    assert hashed == ["a.bin", "b.bin"]


def test_what_a_stage_has_just_written_is_not_hashed_again(record: Path, hashed: list[str]) -> None:
    remember(record)
    assert set(verify(record)) == set(NAMES)
    assert hashed == []


@pytest.mark.fault(12)
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("bit", [0, 1, 399, 5 * 8 * 100 - 1])
def test_a_flipped_bit_is_found_even_with_the_times_of_before(
    record: Path, bit: int, known: bool
) -> None:
    if known:
        verify(record)
    path = record.parent / "a.bin"
    before = path.stat()
    flip(path, bit)
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)
    with pytest.raises(UserError) as raised:
        verify(record)
    assert str(raised.value) == (
        f"{path} is damaged: its bytes are not those its record vouches for. "
        f"Delete {record} and run snakemake again to rebuild it."
    )


def test_damage_is_found_again_every_time(record: Path) -> None:
    verify(record)
    flip(record.parent / "a.bin", 7)
    for _ in range(2):
        with pytest.raises(UserError, match=r"a\.bin is damaged"):
            verify(record)


def test_damage_of_a_file_that_is_not_asked_for_does_not_matter(record: Path) -> None:
    flip(record.parent / "a.bin", 7)
    assert list(verify(record, ["states/b.bin"])) == ["states/b.bin"]


def test_a_touched_or_copied_file_is_hashed_and_found_right(
    record: Path, hashed: list[str]
) -> None:
    verify(record)
    (record.parent / "a.bin").touch()
    verify(record)
    copy = record.parent / "copy"
    copy.write_bytes((record.parent / "a.bin").read_bytes())
    copy.replace(record.parent / "a.bin")
    verify(record)
    assert hashed == ["a.bin", "b.bin", "a.bin", "a.bin"]


def test_all_faults_are_told_at_once(record: Path) -> None:
    flip(record.parent / "a.bin", 7)
    (record.parent / "states" / "b.bin").unlink()
    with pytest.raises(UserError) as raised:
        verify(record, [*NAMES, "c.bin"])
    assert str(raised.value).splitlines() == [
        f"{record.parent}/a.bin is damaged: its bytes are not those its record vouches for.",
        f"{record.parent}/states/b.bin is missing.",
        f"{record} does not list c.bin. Delete {record} and run snakemake again to rebuild it.",
    ]


def test_a_folder_in_the_place_of_a_file_is_named(record: Path) -> None:
    (record.parent / "a.bin").unlink()
    (record.parent / "a.bin").mkdir()
    with pytest.raises(UserError, match=r"a\.bin cannot be read: Is a directory\. Delete"):
        verify(record)


@pytest.mark.fault(13)
def test_a_truncated_or_empty_file_is_damaged(record: Path) -> None:
    for size in (99, 0):
        os.truncate(record.parent / "a.bin", size)
        with pytest.raises(UserError, match=r"a\.bin is damaged"):
            verify(record)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged"),
        ('{"outputs": {"a.bin"', "is damaged"),
        ("[]", "is damaged: it lists no inputs"),
        ("{}", "is damaged: it lists no inputs"),
        ('{"inputs": {}}', "is damaged: it lists no outputs"),
        ('{"inputs": {}, "outputs": ["a.bin"]}', "is damaged: it lists no outputs"),
    ],
)
def test_a_damaged_record_is_named(record: Path, text: str, message: str) -> None:
    record.write_text(text)
    for function in (verify, read_record, remember):
        with pytest.raises(UserError, match=f"stage.json {message}.*run snakemake again"):
            function(record)


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"stage\.json is missing"):
        verify(tmp_path / "stage.json")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a.bin": 3}', '{"a.bin": [0, 0, 0, 0]}'])
def test_the_notes_of_what_was_seen_may_be_lost_or_wrong(
    record: Path, text: str, hashed: list[str]
) -> None:
    verify(record)
    (record.parent / ".stage.seen").write_text(text)
    verify(record)
    assert hashed.count("a.bin") == 2
    flip(record.parent / "a.bin", 9)
    with pytest.raises(UserError, match="is damaged"):
        verify(record)


def test_results_may_be_checked_by_someone_who_must_not_write(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(integrity, "write_bytes", refuse)
    assert set(verify(record)) == set(NAMES)


# --- the seal -----------------------------------------------------------------------------------


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("of", "to"),
    [
        ('"epochs": 3', '"epochs": 7'),
        ('"facts"', '"fabts"'),
        ('"seal"', '"reel"'),
        ('"spec"', '"spea"'),
        ('"stage": "s"', '"stage": "c"'),
    ],
)
def test_damage_to_a_sealed_record_is_told(record: Path, of: str, to: str) -> None:
    content = read_record(record) | {"stage": "s", "spec": {"epochs": 3}, "facts": {}}
    text = json.dumps(sealed(content))
    record.write_text(text)
    assert read_record(record) == content
    assert of in text
    record.write_text(text.replace(of, to))
    with pytest.raises(UserError, match=r"stage\.json is damaged: .* run snakemake again"):
        read_record(record)
