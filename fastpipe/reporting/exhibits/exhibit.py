"""What an exhibit is, and the pieces that charts share."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from fastpipe.reporting.tables import Row

__all__ = [
    "HEIGHT",
    "Exhibit",
    "arm_colour",
    "epoch_axis",
    "interval",
    "pick",
    "picked",
    "rounded",
    "setting_title",
    "step_axis",
    "step_position",
]

HEIGHT = 300


@dataclass(frozen=True)
class Exhibit:
    """One figure of the report: a query, a chart for each group of its rows, and a caption."""

    id: str
    short: str
    """Two or three words for the table of contents."""
    title: str
    """The question it answers."""
    lede: str
    """What to look at, in one or two sentences for someone who has not read the paper."""
    paper: str
    """What the paper showed, and in which setting."""
    here: str
    """What is drawn here."""
    query: str
    """SQL over the study's tables. Gives no rows where the study has nothing to show."""
    panel: tuple[str, ...]
    """Columns that share their values within one chart."""
    panel_title: Callable[[Row], str]
    draw: Callable[[Sequence[Row], Sequence[str]], alt.Chart | alt.LayerChart]
    """(rows of the panel, all arms of the study in display order) → chart."""
    absent: str
    """Why there may be nothing to show."""
    legend: bool = True
    """Whether colours stand for arms."""


def setting_title(row: Row) -> str:
    """The panel's name where panels differ by target."""
    return f"{row['target']}"


def arm_colour(arms: Sequence[str], present: Sequence[str]) -> alt.Color:
    """Colour by arm: the same for every chart of the report. The legend names those present."""
    return alt.Color(
        "arm:N",
        scale=alt.Scale(domain=list(arms), range="category"),
        legend=alt.Legend(values=[arm for arm in arms if arm in set(present)]),
    )


def pick() -> alt.Parameter:
    """The choice of arms that a legend makes."""
    return alt.selection_point(name="pick", fields=["arm"], bind="legend")


def picked(choice: alt.Parameter, value: float, otherwise: float) -> Any:
    """A value for marks of the arms chosen (all, if none is), another for the rest."""
    return alt.when(choice).then(alt.value(value)).otherwise(alt.value(otherwise))


def step_position(step: float) -> float:
    """Where a step lies on the log axis: step 0, which has no logarithm, half-way to 1."""
    return max(float(step), 0.5)


def step_axis(
    last: float, title: str = "fine-tuning step (log scale; 0 = before the first)"
) -> alt.X:
    """Log axis of `at` (see `step_position`) from step 0 to the last."""
    ticks = [m * 10**e for e in range(7) for m in (1, 2, 5) if m * 10**e <= last]
    return alt.X(
        "at:Q",
        title=title,
        scale=alt.Scale(type="log", domain=[0.5, max(last, 2)], nice=False),
        axis=alt.Axis(
            values=[0.5, *ticks],
            labelExpr="datum.value < 1 ? '0' : format(datum.value, ',')",
            labelOverlap="parity",
            labelSeparation=6,
        ),
    )


def epoch_axis(epochs: Iterable[float]) -> alt.Axis:
    """Ticks at exactly these epochs (a number format would round them to the scale's steps)."""
    return alt.Axis(values=sorted(set(epochs)), labelExpr="format(datum.value, '.6~g')")


def interval(mean: float, half_width: float | None, form: Callable[[float], str]) -> str:
    """ "87.1 % – 89.3 %"; a dash without an interval."""
    if half_width is None:
        return "–"
    return f"{form(mean - half_width)} – {form(mean + half_width)}"


def rounded(value: float | None, digits: int = 6) -> float | None:
    """A value with that many significant digits: enough to draw, a third of the bytes."""
    if value is None or value == 0:
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))
