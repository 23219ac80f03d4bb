"""`fastpipe status`: what is running, what failed, how far the study is."""

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console, Group

from fastpipe.config.plan import Plan
from fastpipe.status.beats import read_beats
from fastpipe.status.standing import Standing, standing
from fastpipe.status.table import beats_view, standing_view
from fastpipe.status.unfinished import unfinished

__all__ = ["print_status", "status_json", "watch"]

_REFRESH_S = 2.0
_AUDIT_EVERY_S = 10.0


def print_status(
    load: Callable[[], Plan], study: str | None, work: Path, console: Console | None = None
) -> None:
    """Print what is running and what failed, then how far a study is.

    Args:
        load: loads the plan; what is running is told even if the configuration is faulty.
        study: name of a study; None: the default study.
        work: the `results/.work` folder.
        console: where to; default: standard output.

    Raises:
        UserError: of `load`, or there is no such study.
    """
    console = console or _console()
    beats, now = read_beats(work), datetime.now(UTC)
    try:
        plan = load()
        study = study or plan.config.settings.default_study
        beats = unfinished(beats, plan, study)
    finally:
        console.print(beats_view(beats, console, now))
    found = standing(plan, study, beats)
    console.print()
    console.print(standing_view(found, now))


def status_json(load: Callable[[], Plan], study: str | None, work: Path) -> str:
    """The same as one JSON object: `jobs` that are running or ended without success, `study`.

    Raises:
        UserError: of `load`, or there is no such study.
    """
    plan = load()
    study = study or plan.config.settings.default_study
    beats = unfinished(read_beats(work), plan, study)
    found = standing(plan, study, beats)
    content = {"jobs": [beat.as_json() for beat in beats], "study": found.as_json()}
    return json.dumps(content, indent=1)


def watch(load: Callable[[], Plan], study: str | None, work: Path) -> None:
    """Show the status until Ctrl-C, anew every two seconds.

    Raises:
        UserError: of `load`, or there is no such study.
    """
    from rich.live import Live

    console, plan = _console(), load()
    study = study or plan.config.settings.default_study
    looked, found = 0.0, None
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        try:
            while True:
                beats = unfinished(read_beats(work), plan, study)
                if found is None or time.monotonic() - looked > _AUDIT_EVERY_S:
                    found, looked = standing(plan, study, beats), time.monotonic()
                live.update(_view(beats, found, console), refresh=True)
                time.sleep(_REFRESH_S)
        except KeyboardInterrupt:
            return


def _view(beats: list, found: Standing, console: Console) -> Group:
    now = datetime.now(UTC)
    return Group(beats_view(beats, console, now), "", standing_view(found, now))


def _console() -> Console:
    """A log or a pipe is as wide as COLUMNS says, or else 120 columns."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=120)
