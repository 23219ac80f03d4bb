"""How far a job is, how fast, and how long it will take: a bar on a terminal, lines in a log."""

import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

__all__ = ["Pace", "Progress"]

LINE_EVERY_S = 30.0
"""Between two lines of a log."""

WINDOW_S = 60.0
"""The rate is that of the last minute: a job that slows down says so."""


class Pace:
    """Rate of something that is counted, over the last :data:`WINDOW_S`.

    Args:
        total: count at which it is done.
        done: what was done before.
        now: seconds of a clock that does not go back.
    """

    def __init__(self, total: int, done: int, now: float):
        self.total, self.done = total, done
        self._marks = deque([(now, done)])
        """(time, count), a second apart at least; the first two span the window's beginning."""
        self._now = now

    def reach(self, done: int, now: float) -> None:
        """Note that `done` are done in all."""
        self.done, self._now = done, now
        if now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= WINDOW_S:
            self._marks.popleft()

    def skip_to(self, done: int) -> None:
        """Note that `done` are done in all, and that those since the last time took no time."""
        jump = done - self.done
        self.done = done
        self._marks = deque((when, count + jump) for when, count in self._marks)

    @property
    def rate(self) -> float | None:
        """Per second; None as long as nothing has been done here."""
        since, before = self._marks[0]
        if self.done <= before or self._now <= since:
            return None
        return (self.done - before) / (self._now - since)

    @property
    def seconds_left(self) -> float | None:
        """Until `total`, at this rate; None if that cannot be told."""
        return (self.total - self.done) / self.rate if self.rate else None


class Progress:
    """Context manager that shows on standard error how many of `total` units are done.

    A terminal gets a bar, a log a first line, one every 30 s, and a last one.

    Args:
        title: what is being done; shown literally, whatever signs it holds.
        total: number of units.
        unit: what is counted, in the plural.
        images: images that a unit takes, if images are what it takes: rates are then of images.
        tell: called with what changes, by name (`step`, `total`, `unit`, `rate` in units/s,
            `images_per_s`, `seconds_left`), besides what :meth:`reach` is given.
        clock: seconds.
    """

    def __init__(
        self,
        title: str,
        total: int,
        unit: str = "steps",
        *,
        images: float | None = None,
        tell: Callable[..., None] = lambda **facts: None,
        clock: Callable[[], float] | None = None,
    ):
        self._title, self._total, self._unit = title, total, unit
        self._images = 1.0 if unit == "images" else images
        self._tell, self._clock = tell, clock or time.monotonic
        self._before = 0
        """Units that were done before, or were not needed."""
        self._bar = _bar() if sys.stderr.isatty() else None

    def __enter__(self) -> "Progress":
        self._started = self._told = self._clock()
        self._pace = Pace(self._total, 0, self._started)
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total, speed="")
        else:
            self._print(f"{self._total:,} {self._unit}")
        self._tell(step=0, total=self._total, unit=self._unit)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            return
        done = self._pace.done
        took = f"{self._clock() - self._started:.1f} s"
        if kind is None:
            self._print(f"{self._of_all(done)} done in {took}{self._overall(done)}")
        else:
            self._print(f"ended at {self._of_all(done)} after {took}")

    def advance(self, count: int = 1) -> None:
        """Say that `count` more units are done."""
        self.reach(self._pace.done + count)

    def skip_to(self, done: int) -> None:
        """Say that `done` units are done in all; those since the last time took no time: they
        were done before, or are not needed."""
        self._before += done - self._pace.done
        self._pace.skip_to(done)
        self.reach(done)

    def reach(self, done: int, **facts: Any) -> None:
        """Say that `done` units are done in all; `facts` are passed on."""
        now = self._clock()
        self._pace.reach(done, now)
        rate = self._pace.rate
        images = rate * self._images if rate and self._images else None
        self._tell(
            step=done,
            rate=rate,
            images_per_s=images,
            seconds_left=self._pace.seconds_left,
            **facts,
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=done, speed=self._speed(rate))
        elif now - self._told >= LINE_EVERY_S:
            self._told = now
            self._print(", ".join(filter(None, [self._of_all(done), self._outlook()])))

    def _of_all(self, done: int) -> str:
        return f"{done:,} of {self._total:,} {self._unit}"

    def _outlook(self) -> str:
        left = self._pace.seconds_left
        return "" if left is None else f"{self._speed(self._pace.rate)}, {left:.0f} s left"

    def _speed(self, rate: float | None) -> str:
        if not rate:
            return ""
        if self._images is None:
            return f"{rate:,.3g} {self._unit}/s" if rate < 100 else f"{rate:,.0f} {self._unit}/s"
        return f"{rate * self._images:,.0f} images/s"

    def _overall(self, done: int) -> str:
        seconds = self._clock() - self._started
        here = done - self._before
        return f", {self._speed(here / seconds)}" if here and seconds else ""

    def _print(self, text: str) -> None:
        print(f"{self._title}: {text}", file=sys.stderr, flush=True)


def _bar() -> Any:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[speed]}", markup=False),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
    )
