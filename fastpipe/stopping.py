"""Being told to stop, by SIGTERM or SIGUSR1: from a scheduler that wants the machine back.

A stage then ends at once, and whatever it had not finished is discarded. Training ends after the
present step, once it has been saved (:func:`after_the_step`). Both exit with 143, as a process
that SIGTERM ends does; the same job, started again, goes on.
"""

import contextlib
import signal
from collections.abc import Iterator

__all__ = ["SIGNALS", "Stopped", "after_the_step", "heed_signals", "told_to_stop"]

_EXIT_CODE = 128 + signal.SIGTERM
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""By which a stage is told to stop."""


class Stopped(SystemExit):
    """A stage was told to stop and does. Its text says by what, and where it was."""

    def __init__(self, where: str = ""):
        super().__init__(_EXIT_CODE)
        self.text = f"stopped by {_told.signal}{where}; run it again to go on"

    def __str__(self) -> str:
        return self.text


class _Told:
    """What this process has been told."""

    signal = ""
    """Name of the first signal, if there was one."""
    waits = False
    """Whether there is a step to finish first."""


_told = _Told()


def heed_signals() -> None:
    """From now on, SIGTERM and SIGUSR1 stop what the main thread does (once)."""
    for number in SIGNALS:
        signal.signal(number, _stop)


def _stop(number: int, _: object) -> None:
    first = not _told.signal
    _told.signal = _told.signal or signal.Signals(number).name
    if first and not _told.waits:
        raise Stopped


def told_to_stop() -> bool:
    """Whether a signal to stop has come. Inside :func:`after_the_step` it is the caller who acts
    on it: saves, and raises :class:`Stopped`."""
    return bool(_told.signal)


@contextlib.contextmanager
def after_the_step() -> Iterator[None]:
    """Inside the block signals wait for :func:`told_to_stop` to be asked, or for its end.

    Raises:
        Stopped: at the block's end, if a signal came inside.
    """
    _told.waits = True
    try:
        yield
    finally:
        _told.waits = False
    if _told.signal:
        raise Stopped
