"""The status as text: a table of what runs, what failed and why, and how far the study is."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import PurePath

from rich import box
from rich.console import Console, ConsoleRenderable, Group
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fastpipe.durations import duration
from fastpipe.status.beats import Beat
from fastpipe.status.standing import Standing, Totals

__all__ = ["beats_view", "standing_view"]

_WIDE = 112
"""Columns from which every quantity has a column of its own."""

_STYLES = {"failed": "red", "lost": "red", "stopped": "yellow"}
_MOST_ENDED = 5
"""Jobs that ended without success that are told of in full, the newest."""
_BAR = 20
_ONE_LINE = 36
"""Columns up to which a pack's two names stand beside each other."""


def beats_view(beats: Sequence[Beat], console: Console, now: datetime) -> ConsoleRenderable:
    """What runs, and below it what ended without success."""
    running = [beat for beat in beats if beat.state == "running"]
    ended = [beat for beat in beats if beat.state != "running"]
    parts: list[ConsoleRenderable] = []
    if running:
        wide = console.width >= _WIDE
        parts.append(_running(running, wide=wide))
    else:
        parts.append(Text("Nothing is running."))
    newest = sorted(ended, key=lambda beat: beat.updated, reverse=True)
    for beat in newest[:_MOST_ENDED]:
        parts += ["", *_ended(beat, now)]
    if more := len(newest[_MOST_ENDED:]):
        parts += ["", Text(f"… and {more:,} more; fastpipe status --json lists them.")]
    return Group(*parts)


def _running(beats: Iterable[Beat], *, wide: bool) -> Table:
    names = ["stage", "of", "step", "rate", "left", "top-1", "device", "where"]
    table = _table(
        "Running", names if wide else ["stage\nwhere", "of", "step\nrate", "left\ntop-1"]
    )
    for beat in beats:
        cells = {
            "stage": beat.stage,
            "of": _what(beat, wide=wide),
            "step": _step(beat),
            "rate": _rate(beat),
            "left": "" if beat.seconds_left is None else _short(beat.seconds_left),
            "top-1": "" if beat.top1 is None else f"{beat.top1:.1%}".replace("%", " %"),
            "device": beat.device or "",
            "where": _where(beat),
        }
        if not wide:
            where = "\n".join(filter(None, [cells["where"], cells["device"]]))
            cells = {
                "stage": f"{cells['stage']}\n{where}",
                "of": cells["of"],
                "step": f"{cells['step']}\n{cells['rate']}",
                "left": f"{cells['left']}\n{cells['top-1']}",
            }
        table.add_row(*(Text(cell) for cell in cells.values()))
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for column in columns:
        if column in ("stage", "stage\nwhere", "of", "device", "where", ""):
            table.add_column(column, overflow="fold")
        else:
            table.add_column(column, justify="right", no_wrap=True)
    return table


def _what(beat: Beat, *, wide: bool) -> str:
    """The pack, or whatever else the folder is of."""
    parts = PurePath(beat.folder).parts
    if len(parts) >= 5 and parts[-5] == "runs":
        snapshot, target, variant, seeds = parts[-4:]
        lines = (f"{snapshot} → {target}", f"{variant}, {seeds.replace('-', ' ', 1)}")
        return (", " if wide and sum(map(len, lines)) <= _ONE_LINE else "\n").join(lines)
    if len(parts) > 2:
        between = " → " if parts[1] in ("features", "similarity") else " "
        return between.join(parts[2:])
    return beat.folder


def _step(beat: Beat) -> str:
    if beat.step is None or beat.total is None:
        return "–"
    run = f"\nrun {beat.run[0]} of {beat.run[1]}" if beat.run else ""
    unit = "" if beat.unit == "steps" else f" {beat.unit}"
    return f"{beat.step:,} / {beat.total:,}{unit}{run}"


def _rate(beat: Beat) -> str:
    if beat.images_per_s is not None:
        return f"{beat.images_per_s:,.0f} images/s"
    return "" if beat.rate is None else f"{beat.rate:,.3g} {beat.unit}/s"


def _where(beat: Beat) -> str:
    slurm = f"\nSLURM job {beat.slurm_job}" if beat.slurm_job else ""
    return f"{beat.host}:{beat.pid}{slurm}"


def _short(seconds: float) -> str:
    """As a clock shows it: `0:41`, `12:05`, `3:12:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _ended(beat: Beat, now: datetime) -> Iterable[ConsoleRenderable]:
    ago = duration(max(0.0, (now - beat.updated).total_seconds()))
    said = {
        "failed": f"failed {ago} ago on {_where(beat)}",
        "stopped": f"was told to stop {ago} ago on {_where(beat)}; it goes on when it is run again",
        "lost": f"was last heard of {ago} ago on {_where(beat)}; "
        "its process is gone without a word (killed, or out of memory?)",
    }[beat.state].replace("\n", ", ")
    label = _what(beat, wide=True).replace("\n", ", ")
    yield Text.assemble((f"{beat.stage} {label} ", "bold"), (said, _STYLES[beat.state]))
    for line in beat.error:
        yield Padding(Text(line), (0, 0, 0, 4), expand=False)
    if beat.log:
        yield Padding(Text(f"log: {beat.log}", overflow="fold"), (0, 0, 0, 2), expand=False)


def standing_view(standing: Standing, now: datetime) -> ConsoleRenderable:
    """A bar for each stage, and when all will be done."""
    columns = ["stage", "done", "", "images/s", "left", "running", "stale", "failed"]
    table = _table(f"Study {standing.study}", columns)
    for stage, totals in standing.stages.items():
        bar = ProgressBar(
            total=max(1, totals.jobs),
            completed=totals.current,
            width=_BAR,
            complete_style="cyan",
            finished_style="green",
        )
        left = totals.seconds_left / standing.parallel
        numbers = (totals.running, totals.stale, totals.failed)
        table.add_row(
            stage,
            f"{totals.current:,} / {totals.jobs:,}",
            bar,
            f"{totals.images_per_s:,.0f}" if totals.images_per_s else "",
            _short(left) if left else "",
            *(f"{number:,}" if number else "" for number in numbers),
        )
    return Group(table, "", Text(_outlook(standing, standing.whole, now)))


def _outlook(standing: Standing, whole: Totals, now: datetime) -> str:
    if whole.current == whole.jobs:
        return f"All {whole.jobs:,} jobs are done."
    done = f"{whole.current:,} of {whole.jobs:,} jobs are done."
    if standing.seconds_left is None:
        return f"{done} How long the others take cannot be told yet."
    end = (now + timedelta(seconds=standing.seconds_left)).astimezone()
    day = "" if end.date() == now.astimezone().date() else f" on {end:%A, %-d %B}"
    times = "one job" if standing.parallel == 1 else f"{standing.parallel} jobs"
    unknown = (
        f", not counting {standing.unknown:,} jobs that cannot be estimated"
        if standing.unknown
        else ""
    )
    return (
        f"{done} The others take about {duration(standing.seconds_left)}, until {end:%H:%M}{day}, "
        f"{times} at a time{unknown}."
    )
