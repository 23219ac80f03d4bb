"""The places where tests kill: without a test they do nothing."""

import os
import signal

import pytest

from fastpipe import crash
from fastpipe.crash import crash_point


@pytest.mark.parametrize("value", [None, "", "another", "here:3"])
def test_it_goes_on_unless_it_is_its_turn(monkeypatch, value):
    monkeypatch.setattr(crash, "_visits", 0)
    monkeypatch.delenv(crash.VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(crash.VARIABLE, value)
    killed = []
    monkeypatch.setattr(os, "kill", lambda *given: killed.append(given))
    for _ in range(2):
        crash_point("here")
    assert killed == []


@pytest.mark.parametrize(("value", "visits"), [("here", 1), ("here:2", 2)])
def test_it_kills_at_the_visit_that_was_asked_for(value, visits):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.environ[crash.VARIABLE] = value
        for _ in range(9):
            os.write(write, b".")
            crash_point("here")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert os.read(read, 99) == b"." * visits
