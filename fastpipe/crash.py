"""Named places between the steps of writing, where a test may kill the process.

`FASTPIPE_CRASH=NAME` kills this process with SIGKILL at the place of that name, `NAME:3` when it
comes there for the third time. Unset, as always outside tests, a place does nothing (0.5 µs).
"""

import os
import signal

__all__ = ["crash_point"]

VARIABLE = "FASTPIPE_CRASH"

_visits = 0


def crash_point(name: str) -> None:
    """Die here if a test wants it."""
    wanted = os.environ.get(VARIABLE)
    if wanted:
        _die_if_wanted(name, wanted)


def _die_if_wanted(name: str, wanted: str) -> None:
    global _visits
    place, _, count = wanted.partition(":")
    if place == name:
        _visits += 1
        if _visits >= int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
