"""How far a long job is: a bar on a terminal, a line now and then in a log."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["progress"]

_EVERY_S = 10.0


@contextlib.contextmanager
def progress(
    what: str, total: int, console: Console | None = None
) -> Iterator[Callable[[int], None]]:
    """Show progress of `what` on standard error; yields `advance(count)`.

    Args:
        what: shown literally, whatever signs it holds.
        total: count at which the job is done.
        console: where to show it; a log if it is no terminal.
    """
    console = console or Console(stderr=True)
    with _bar(what, total, console) if console.is_terminal else _lines(what, total, console) as to:
        yield to


@contextlib.contextmanager
def _bar(what: str, total: int, console: Console) -> Iterator[Callable[[int], None]]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


@contextlib.contextmanager
def _lines(what: str, total: int, console: Console) -> Iterator[Callable[[int], None]]:
    done, told = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, told
        done += count
        if time.monotonic() - told > _EVERY_S:
            told = time.monotonic()
            tell()

    def tell() -> None:
        console.print(f"{what}: {done} of {total}", markup=False, highlight=False, soft_wrap=True)

    yield advance
    tell()
