import re

import pytest

import fastpipe.progress
from fastpipe.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(fastpipe.progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then(capsys, clock):
    with Progress("training", 200) as progress:
        for done in range(0, 201, 20):
            progress.reach(done)
            clock[0] += 4.0
    assert capsys.readouterr().out.splitlines() == [
        "training: 200 steps",
        "training: 60 of 200 steps, 28 s left",
        "training: 120 of 200 steps, 16 s left",
        "training: 180 of 200 steps, 4 s left",
        "training: done in 44.0 s",
    ]


def test_work_done_before_the_start_does_not_make_it_look_fast(capsys, clock):
    with Progress("training", 200) as progress:
        progress.reach(100)  # resumed
        clock[0] += 10.0
        progress.reach(150)
    assert "training: 150 of 200 steps, 10 s left" in capsys.readouterr().out


def test_a_failure_is_not_called_done(capsys):
    with pytest.raises(RuntimeError), Progress("training", 2):
        raise RuntimeError
    assert capsys.readouterr().out == "training: 2 steps\n"


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with Progress("training", 200) as progress:
        progress.reach(150)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)
    assert "training" in shown and "150/200" in shown
