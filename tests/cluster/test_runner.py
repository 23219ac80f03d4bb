"""A batch on a node: every member runs once, whatever the others do, and signals reach it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastpipe.cluster.batch import Batch, Member, ended, ends_file, note_end, remove
from fastpipe.cluster.runner import main

PATIENT = (
    "import signal, sys, time, pathlib\n"
    "def stop(number, _):\n"
    "    pathlib.Path('saved').write_text(signal.Signals(number).name)\n"
    "    sys.exit(143)\n"
    "signal.signal(signal.SIGTERM, stop)\n"
    "pathlib.Path('started').touch()\n"
    "time.sleep(30)\n"
)


@pytest.fixture
def batch(tmp_path):
    """Write a batch of commands that work in an empty folder; gives its file."""
    folder = tmp_path / "mein Ordner"
    folder.mkdir()

    def write(*members: Member | str) -> Path:
        path = tmp_path / "batches" / "b-1.json"
        commands = (Member(m) if isinstance(m, str) else m for m in members)
        Batch(str(folder), "run", 0.2, tuple(commands)).write(path)
        return path

    return write


@pytest.fixture
def here(tmp_path) -> Path:
    return tmp_path / "mein Ordner"


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """The runner is a process of its own: what it changes in this one is put back."""
    folder, handlers = Path.cwd(), {n: signal.getsignal(n) for n in (15, signal.SIGUSR1)}
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    yield
    os.chdir(folder)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def start(path: Path, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "fastpipe.cluster.runner", str(path)]
    return subprocess.Popen(command, env=os.environ | environment)


def wait_for(path: Path) -> None:
    end = time.time() + 20
    while not path.exists():
        assert time.time() < end, path
        time.sleep(0.02)


def test_members_run_one_after_the_other_and_a_failure_stops_no_other(batch, here):
    path = batch(
        "echo 1 >> log", "echo 2 >> log; exit 7", "false | true; echo 3 >> log", "echo 4 >> log"
    )
    assert main(path) == 1
    assert (here / "log").read_text() == "1\n2\n4\n"  # a pipe fails if a part of it does
    assert ended(path) == {0: 0, 1: 7, 2: 1, 3: 0}


def test_a_member_killed_by_a_signal_is_told_from_one_that_failed(batch):
    path = batch("kill -9 $$")
    assert main(path) == 1
    assert ended(path) == {0: 137}


def test_what_has_ended_in_an_earlier_start_is_not_repeated(batch, here):
    path = batch("echo 1 >> log", "echo 2 >> log", "echo 3 >> log")
    note_end(path, 0, 0)
    note_end(path, 2, 1)
    assert main(path) == 1
    assert (here / "log").read_text() == "2\n"


def test_a_line_that_is_half_written_does_not_count(batch):
    path = batch("true")
    ends_file(path).write_bytes(b"0 0\n1 1")
    assert ended(path) == {0: 0}


def test_a_withdrawn_batch_starts_no_further_member(batch, here):
    path = batch(f"rm '{Path('..', 'batches', 'b-1.json')}'", "touch second")
    assert main(path) == 0
    assert not (here / "second").exists()
    remove(path)
    assert not list(path.parent.iterdir())


def test_members_get_their_threads_and_their_time_is_noted(batch, here):
    command = "echo $OMP_NUM_THREADS $MKL_NUM_THREADS > threads; sleep 0.2"
    assert main(batch(Member(command, threads=3, benchmark="b.tsv"))) == 0
    assert (here / "threads").read_text() == "3 3\n"
    head, row = (line.split("\t") for line in (here / "b.tsv").read_text().splitlines())
    assert head == ["s", "h:m:s"]
    assert 0.2 <= float(row[0]) < 20
    assert row[1].startswith("0:00:")


def test_inputs_that_come_late_are_waited_for_and_missing_ones_not_for_ever(batch, here):
    process = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.1; touch '{here / 'late'}'"])
    assert main(batch(Member("test -e late", inputs=("late", "never")))) == 0
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_passed_on_and_what_saved_its_state_is_not_said_to_have_ended(
    batch, here, number, tmp_path
):
    """After SIGUSR1 the job goes back into the queue, which is asked for through scontrol."""
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text('#!/bin/sh\necho "$@" > asked\n')
    scontrol.chmod(0o755)
    (here / "member.py").write_text(PATIENT)
    path = batch("true", f"{sys.executable} member.py", "touch third")
    process = start(path, PATH=f"{scontrol.parent}:{os.environ['PATH']}", SLURM_JOB_ID="17")
    wait_for(here / "started")
    process.send_signal(number)
    assert process.wait(20) == 143
    assert (here / "saved").read_text() == "SIGTERM"
    assert ended(path) == {0: 0}
    assert not (here / "third").exists()
    asked = here / "asked"
    assert (asked.read_text() if asked.exists() else "") == (
        "requeue 17\n" if number == signal.SIGUSR1 else ""
    )


def test_a_job_that_makes_no_progress_does_not_ask_for_ever(batch, here, tmp_path):
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text("#!/bin/sh\ntouch asked\n")
    scontrol.chmod(0o755)
    (here / "member.py").write_text(PATIENT)
    path = batch(f"{sys.executable} member.py")
    environment = {"SLURM_JOB_ID": "17", "SLURM_RESTART_COUNT": "50"}
    process = start(path, PATH=f"{scontrol.parent}:{os.environ['PATH']}", **environment)
    wait_for(here / "started")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(20) == 143
    assert not (here / "asked").exists()
