"""Locks end with their holder, and say who holds them; `fastpipe unlock` tells and clears up."""

import contextlib
import errno
import fcntl
import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from fastpipe import locks
from fastpipe.config.names import WORK
from fastpipe.errors import UserError
from fastpipe.head import Head
from fastpipe.locks import HEAD, Holder, Lock, holder_of, note_of
from fastpipe.unlocking import unlock

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def hold(path, ready):
    assert Lock(path, "writing finetune in here").acquire() is None
    ready.set()
    time.sleep(60)


@contextlib.contextmanager
def holding(path, how=hold):
    """Another process that holds the lock."""
    ready = FORK.Event()
    other = FORK.Process(target=how, args=(path, ready))
    other.start()
    assert ready.wait(30)
    yield other
    with contextlib.suppress(ProcessLookupError):
        os.kill(other.pid, signal.SIGKILL)
    other.join()


def write_note(path, host, pid=1, age=0.0):
    """A holder's note as another host's process leaves it, whose last sign is `age` seconds old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    holder = {"pid": pid, "host": host, "since": 0.0, "what": "writing finetune in there"}
    note_of(path).write_text(json.dumps(holder))
    now = time.time()
    os.utime(note_of(path), (now - age, now - age))


LOCK = WORK / "locks" / "a.lock"


def test_a_lock_names_its_holder_and_is_free_after_release():
    lock = Lock(LOCK, "testing")
    assert lock.acquire() is None
    holder = Lock(LOCK, "other").acquire()
    assert (holder.pid, holder.host, holder.what) == (os.getpid(), socket.gethostname(), "testing")
    assert abs(holder.since - time.time()) < 60
    assert holder.told.startswith(f"{holder} has been testing since 2")
    lock.release()
    assert holder_of(LOCK) is None and not note_of(LOCK).exists()
    assert Lock(LOCK, "other").acquire() is None


def test_a_dead_holder_holds_nothing():
    with holding(LOCK) as other:
        assert Lock(LOCK, "").holder().pid == other.pid
        os.kill(other.pid, signal.SIGKILL)
        other.join()
        assert holder_of(LOCK).pid == other.pid  # the note is still there
        assert Lock(LOCK, "").holder() is None
        assert Lock(LOCK, "next").acquire() is None
        assert holder_of(LOCK).what == "next"


def test_another_host_lives_as_long_as_its_note_is_fresh():
    write_note(LOCK, "elsewhere", age=30)
    assert str(Lock(LOCK, "").acquire()) == "process 1 on elsewhere"
    write_note(LOCK, "elsewhere", age=locks.FRESH_SECONDS + 5)
    assert Lock(LOCK, "mine").acquire() is None
    assert holder_of(LOCK).what == "mine"


def test_the_heartbeat_keeps_a_note_fresh(monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    lock = Lock(LOCK, "long")
    lock.acquire()
    os.utime(note_of(LOCK), (0, 0))
    for _ in range(500):
        if note_of(LOCK).stat().st_mtime > 0:
            break
        time.sleep(0.01)
    assert time.time() - note_of(LOCK).stat().st_mtime < 60
    lock.release()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK])
def test_where_the_kernel_has_no_locks_the_note_decides(monkeypatch, code):
    def unsupported(*_):
        raise OSError(code, os.strerror(code))

    with holding(LOCK) as other:
        monkeypatch.setattr(fcntl, "flock", unsupported)
        assert Lock(LOCK, "").acquire().pid == other.pid
        os.kill(other.pid, signal.SIGKILL)
        other.join()
        assert Lock(LOCK, "").acquire() is None


def test_other_errors_of_the_file_system_are_not_swallowed(monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output"):
        Lock(LOCK, "").acquire()


def take_and_say_later(path, ready):
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    ready.set()
    time.sleep(0.3)
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": 0.0, "what": "late"}
    note_of(path).write_text(json.dumps(mine))
    time.sleep(60)


@pytest.mark.parametrize("dead", [None, 2**22 + 1], ids=["no note", "note of a dead process"])
def test_one_who_has_just_taken_it_has_a_moment_to_write_its_note(dead):
    if dead:
        write_note(LOCK, socket.gethostname(), dead)
    with holding(LOCK, take_and_say_later) as other:
        assert Lock(LOCK, "").acquire().pid == other.pid


def test_an_old_note_of_another_host_names_nobody(monkeypatch):
    monkeypatch.setattr(locks, "NOTE_SECONDS", 0.1)
    with holding(LOCK):
        write_note(LOCK, "node2", age=locks.FRESH_SECONDS + 1)
        assert Lock(LOCK, "").acquire() == locks.SOMEBODY


def test_who_merely_looks_refuses_nobody():
    LOCK.parent.mkdir(parents=True)
    looking = os.open(LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_EX)
    threading.Timer(0.3, os.close, [looking]).start()
    assert Lock(LOCK, "").acquire() is None


def test_a_torn_note_names_nobody(monkeypatch):
    monkeypatch.setattr(locks, "NOTE_SECONDS", 0.1)
    with holding(LOCK):
        note_of(LOCK).write_text('{"pid": 1')
        assert Lock(LOCK, "").acquire().told == "a process that left no note holds a lock"


@pytest.mark.parametrize(
    ("pid", "alive"),
    [(os.getpid(), True), (1, True), (2**22 + 1, False)],
    ids=["own", "init", "none"],
)  # the last is above the largest process number
def test_a_process_of_this_host_is_known_by_its_number(pid, alive):
    assert Holder(pid, socket.gethostname(), 0.0, "").runs_here() is alive


# --- the head


@pytest.mark.fault(5)
def test_a_second_head_is_refused_by_name():
    with holding(WORK / "locks" / HEAD) as other:
        told = f"process {other.pid} on {socket.gethostname()} has been writing .* Nothing was cha"
        with pytest.raises(UserError, match=told):
            Head().claim()
    head = Head()
    head.claim()
    head.claim()  # each look at the results asks
    head._lock.release()


# --- fastpipe unlock


def test_unlock_refuses_while_a_holder_lives():
    with holding(LOCK) as other:
        (Path(".snakemake") / "locks").mkdir(parents=True)
        (Path(".snakemake") / "locks" / "0.input.lock").touch()
        told = (
            rf"process {other.pid} on \S+ has been writing finetune in here since \d{{4}}-.*\n"
            rf"Nothing was removed\..*`kill {other.pid}` ends it in order"
        )
        with pytest.raises(UserError, match=told):
            unlock(Path())
        assert note_of(LOCK).exists() and any(Path(".snakemake/locks").iterdir())


def test_unlock_says_nothing_of_other_hosts_where_a_holder_has_no_note(monkeypatch):
    monkeypatch.setattr(locks, "NOTE_SECONDS", 0.1)
    with holding(LOCK):
        note_of(LOCK).unlink()
        with pytest.raises(UserError) as told:
            unlock(Path())
    assert "Wait until the work has ended." in str(told.value)
    assert "another host" not in str(told.value).splitlines()[-1]


def test_unlock_clears_up_after_a_dead_holder(capsys):
    with holding(LOCK) as other:
        os.kill(other.pid, signal.SIGKILL)
        other.join()
        (Path(".snakemake") / "locks").mkdir(parents=True)
        (Path(".snakemake") / "locks" / "0.input.lock").touch()
        unlock(Path())
    said = capsys.readouterr().out
    assert f"removed {note_of(LOCK)}, left by process {other.pid} on " in said
    assert "that was writing finetune in here; last sign of life 2" in said
    assert "removed .snakemake/locks, left by a snakemake process that has ended" in said
    assert not note_of(LOCK).exists() and not Path(".snakemake/locks").exists()
    unlock(Path())
    assert capsys.readouterr().out == "Nothing is locked here.\n"


def test_unlock_and_a_holder_on_another_host(capsys):
    write_note(LOCK, "elsewhere", pid=77, age=30)
    told = "process 77 on elsewhere has been .*\n.*counts as alive until 120 s after its last sign"
    with pytest.raises(UserError, match=told):
        unlock(Path())
    write_note(LOCK, "elsewhere", pid=77, age=500)
    unlock(Path())
    assert "left by process 77 on elsewhere" in capsys.readouterr().out
    assert not note_of(LOCK).exists()
