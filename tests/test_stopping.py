"""Signals stop at once, or after the step, and once only."""

import os
import signal

import pytest

from fastpipe import stopping
from fastpipe.stopping import Stopped, after_the_step, heed_signals, told_to_stop


@pytest.fixture(autouse=True)
def heeding(monkeypatch):
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    monkeypatch.setattr(stopping._told, "signal", "")
    heed_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_at_once_with_143(number):
    with pytest.raises(Stopped, match=f"stopped by {number.name}; run it again") as stop:
        os.kill(os.getpid(), number)
    assert stop.value.code == 143


def test_a_second_signal_does_not_disturb_the_clearing_up():
    with pytest.raises(Stopped, match="SIGUSR1"):
        os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGTERM)
    assert told_to_stop()


def test_inside_a_step_it_waits_until_it_is_asked_for():
    done = []
    with pytest.raises(Stopped, match="stopped by SIGTERM; run"), after_the_step():
        os.kill(os.getpid(), signal.SIGTERM)
        assert told_to_stop()
        done.append("step")
    assert done == ["step"]


def test_the_caller_says_where_it_was():
    with pytest.raises(Stopped, match="stopped by SIGTERM after step 7; run"), after_the_step():
        os.kill(os.getpid(), signal.SIGTERM)
        raise Stopped(" after step 7")


def test_without_a_signal_nothing_happens():
    with after_the_step():
        assert not told_to_stop()
