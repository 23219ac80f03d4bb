import errno
import hashlib
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpipe import files
from fastpipe.errors import UserError
from fastpipe.files import (
    canonical_json,
    digest,
    flush_all,
    flush_to_disk,
    read_json,
    refusal,
    wait_for,
    write_bytes,
    write_json,
    writing,
)

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


# --- canonical JSON -----------------------------------------------------------------------------


def test_canonical_json_is_sorted_tight_and_ascii() -> None:
    assert canonical_json({"b": [1, 2.0, None], "a": {"é": True}}) == (
        '{"a":{"\\u00e9":true},"b":[1,2.0,null]}'
    )


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})
    assert canonical_json({"a": 1, "b": 2}) != canonical_json({"a": 2, "b": 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_canonical_json_refuses_what_json_cannot_say(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": value})


@given(JSON)
def test_json_is_read_back_as_it_was_written(tmp_path_factory: object, value: object) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, value)
    assert read_json(path) == value


# --- writing ------------------------------------------------------------------------------------


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "x.bin", b"123")
    assert (tmp_path / "a" / "b" / "x.bin").read_bytes() == b"123"


def test_the_same_value_gives_the_same_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": 1, "a": [1, 2]})
    write_json(tmp_path / "y.json", {"a": [1, 2], "b": 1})
    assert (tmp_path / "x.json").read_bytes() == (tmp_path / "y.json").read_bytes()
    assert (tmp_path / "x.json").read_text() == '{\n "a": [\n  1,\n  2\n ],\n "b": 1\n}\n'


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_written_file_follows_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_bytes(tmp_path / "x.bin", b"123")
        (tmp_path / "private").touch(0o600)
        flush_to_disk(tmp_path / "private")
        left = os.umask(mask)
    finally:
        os.umask(before)
    assert left == mask
    for name in ("x.bin", "private"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


FAULTS = ["mkstemp", "write", "fsync", "chmod", "replace"]


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int], None]]:
    """Make a step of writing a file fail with an error of the system."""

    def arm(step: str, number: int) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        class Full:
            """A file on a full disk: what is written goes half-way."""

            def __init__(self, handle: int, _: str):
                self.handle = handle

            def __enter__(self) -> "Full":
                return self

            def __exit__(self, *_: object) -> None:
                os.close(self.handle)

            def write(self, content: bytes) -> None:
                os.write(self.handle, content[: len(content) // 2])
                refuse()

        places = {
            "mkstemp": (files.tempfile, "mkstemp", refuse),
            "write": (files.os, "fdopen", Full),
            "fsync": (files.os, "fsync", refuse),
            "chmod": (Path, "chmod", refuse),
            "replace": (Path, "replace", refuse),
        }
        monkeypatch.setattr(*places[step])

    yield arm
    monkeypatch.undo()


@pytest.mark.fault(11)
@pytest.mark.parametrize("step", FAULTS)
@pytest.mark.parametrize(
    ("number", "reason", "remedy"),
    [
        (errno.ENOSPC, "", "Free some space"),
        (errno.EDQUOT, " (Disk quota exceeded)", "Free some space, or ask for a larger quota,"),
        (errno.EFBIG, " (File too large)", "Allow larger files (ulimit -f)"),
    ],
)
def test_on_a_full_disk_the_file_of_before_stays_and_nothing_else(
    tmp_path: Path,
    fail: Callable[[str, int], None],
    step: str,
    number: int,
    reason: str,
    remedy: str,
) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"before")
    fail(step, number)
    with pytest.raises(UserError) as raised:
        write_bytes(path, b"after" * 100)
    told, _, free = str(raised.value).partition(" are needed, ")
    assert told == f"no space left on the device while writing {path}{reason}: 500 bytes"
    assert re.fullmatch(
        r"[\d,]+ are free\. Nothing was left under that name\. "
        rf"{re.escape(remedy)} and run snakemake again\.",
        free,
    )
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.fault(11)
@pytest.mark.parametrize("step", FAULTS)
def test_a_disk_that_fails_is_not_taken_for_a_full_one(
    tmp_path: Path, fail: Callable[[str, int], None], step: str
) -> None:
    path = tmp_path / "x.bin"
    fail(step, errno.EIO)
    with pytest.raises(UserError) as raised:
        write_bytes(path, b"after")
    assert str(raised.value) == (
        f"cannot write {path}: Input/output error. Nothing was left under that name. "
        "Look at the disk (dmesg) and run snakemake again."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", FAULTS)
def test_an_error_of_another_kind_stays_what_it_is(
    tmp_path: Path, fail: Callable[[str, int], None], step: str
) -> None:
    fail(step, errno.EBADF)
    with pytest.raises(OSError, match="Bad file descriptor"):
        write_bytes(tmp_path / "x.bin", b"after")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(14)
def test_another_file_that_is_refused_on_the_way_is_named() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "images/a.png")
    assert str(refusal(error, Path("results/x.npy"))) == (
        "cannot use images/a.png while making results/x.npy: Permission denied. Nothing was left "
        "under that name. Get the right to write there and run snakemake again."
    )
    assert refusal(FileNotFoundError(errno.ENOENT, "No such file"), Path("x")) is None
    assert refusal(UserError(os.strerror(errno.ENOSPC)), Path("x")) is None


@pytest.mark.fault(11)
def test_a_real_full_device_is_a_user_error() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full")
    told = pytest.raises(
        UserError, match="no space left on the device while writing /dev/full: 1 bytes are needed"
    )
    with told, writing(full, 1), full.open("wb") as file:
        file.write(b"1")


def test_no_space_told_by_a_library_in_words() -> None:
    told = pytest.raises(UserError, match="no space left on the device while writing x")
    with told, writing(Path("x")):
        raise RuntimeError(f"could not write: {os.strerror(errno.ENOSPC)}")
    with pytest.raises(RuntimeError, match="another"), writing(Path("x")):
        raise RuntimeError("another")


def test_bytes_are_flushed_before_they_get_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    real = os.fsync
    monkeypatch.setattr(files.os, "fsync", lambda h: (flushed.append(os.fstat(h).st_ino), real(h)))
    write_bytes(tmp_path / "x.bin", b"123")
    assert (tmp_path / "x.bin").stat().st_ino in flushed


# --- reading ------------------------------------------------------------------------------------


def test_digest_is_sha_256(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(content)
    assert digest(tmp_path / "x") == hashlib.sha256(content).hexdigest()
    (tmp_path / "empty").touch()
    assert digest(tmp_path / "empty") == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_a_missing_file_says_how_to_rebuild_it(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        read_json(tmp_path / "x.json")
    assert str(raised.value) == f"{tmp_path}/x.json is missing. Run snakemake again to rebuild it."


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe", b"<html>", b"NaN!"])
def test_a_damaged_file_says_how_to_rebuild_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError) as raised:
        read_json(tmp_path / "x.json")
    assert str(raised.value).startswith(f"{tmp_path}/x.json is damaged (")
    assert str(raised.value).endswith("Delete it and run snakemake again to rebuild it.")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path} cannot be read: Is a directory"):
        read_json(tmp_path)


# --- files that become visible late -------------------------------------------------------------


class Clock:
    """Time that passes only while someone sleeps; `appearing` is written when its moment comes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, appearing: dict[Path, float]):
        self.now, self.appearing = 0.0, appearing
        monkeypatch.setattr(files, "time", self)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for path, moment in self.appearing.items():
            if self.now >= moment:
                path.touch()


@pytest.mark.fault(10)
def test_late_files_are_waited_for_and_the_first_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    late = [tmp_path / "a", tmp_path / "b"]
    clock = Clock(monkeypatch, {late[0]: 3.0, late[1]: 2.0})
    wait_for([*late, tmp_path], patience_s=5)
    assert all(path.exists() for path in late)
    assert clock.now == pytest.approx(3.0, abs=0.2)
    assert capsys.readouterr().out == f"waiting for {late[0]} to become visible\n"
    wait_for(late, patience_s=5)
    assert clock.now < 3.3


@pytest.mark.fault(10)
def test_the_wait_is_bounded_for_all_files_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, {})
    wait_for([tmp_path / str(number) for number in range(100)], patience_s=5)
    assert clock.now == pytest.approx(5.0, abs=0.2)


def test_several_files_are_flushed_and_follow_the_umask(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}" for number in range(20)]
    for file in files:
        file.write_text("x")
        file.chmod(0o600)
    mask = os.umask(0o027)
    try:
        flush_all(files)
    finally:
        os.umask(mask)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o640}


def test_one_file_that_cannot_be_flushed_fails_them_all(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FileNotFoundError):
        flush_all([tmp_path / "a", tmp_path / "missing"])


@pytest.mark.fault(11)
def test_duckdb_s_words_for_a_failed_flush_are_understood(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"study\.duckdb"), writing(tmp_path / "study.duckdb"):
        raise RuntimeError("FATAL Error: fsync failed!")
