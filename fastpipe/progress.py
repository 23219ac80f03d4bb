"""How far a job is: a bar on a terminal, a line now and then in a log."""

import sys
import time
from types import TracebackType
from typing import Any

__all__ = ["Progress"]

_LINE_EVERY_SECONDS = 10.0


class Progress:
    """Context manager that shows how many of `total` units are done, and the time left.

    Args:
        title: what is being done.
        total: number of units.
        unit: what is counted, in the plural.
    """

    def __init__(self, title: str, total: int, unit: str = "steps"):
        self._title, self._total, self._unit = title, total, unit
        self._before: int | None = None
        self._bar = _bar() if sys.stdout.isatty() else None

    def __enter__(self) -> "Progress":
        self._started = self._told = time.monotonic()
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total)
        else:
            print(f"{self._title}: {self._total} {self._unit}", flush=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None:
            print(f"{self._title}: done in {time.monotonic() - self._started:.1f} s", flush=True)

    def reach(self, done: int) -> None:
        """Say that `done` units are done in all; what the first call says cost no time here."""
        if self._before is None:
            self._before = done
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif time.monotonic() - self._told >= _LINE_EVERY_SECONDS:
            self._told = time.monotonic()
            print(self._line(done), flush=True)

    def _line(self, done: int) -> str:
        text, here = f"{self._title}: {done} of {self._total} {self._unit}", done - self._before
        if not here:
            return text
        left = (time.monotonic() - self._started) * (self._total - done) / here
        return f"{text}, {left:.0f} s left"


def _bar() -> Any:
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
