"""Axes: steps from 0 on a log scale, powers of ten, pretraining epochs."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt

from fastpipe.reporting.drawing.text import power

__all__ = [
    "STEP_TITLE",
    "Log",
    "count_axis",
    "epoch_axis",
    "fraction_axis",
    "last_step",
    "linear_step_axis",
    "step_axis",
    "step_position",
]

STEP_TITLE = "fine-tuning step (log scale; 0 = before the first)"
PLAIN = "format(datum.value, '.6~r')"
"""Tick label without an exponent. With the scale's own precision, d3's `~g` makes 10 a 1e+1."""

_COUNT = "format(datum.value, ',')"


def step_position(step: float) -> float:
    """Where a step lies on the log axis: step 0, which has no logarithm, half-way to 1."""
    return max(float(step), 0.5)


def last_step(rows: Iterable[dict[str, Any]]) -> float:
    """The end of the axis."""
    return max(row["step"] for row in rows)


def step_axis(last: float, title: str | None = STEP_TITLE) -> alt.X:
    """Log axis of `at` (see `step_position`) from step 0 to the last; unlabelled without a title.

    The upper of two stacked panels leaves the labels to the lower.
    """
    ticks = [m * 10**e for e in range(7) for m in (1, 2, 5) if m * 10**e <= last]
    return alt.X(
        "at:Q",
        title=title,
        scale=alt.Scale(type="log", domain=[0.5, max(last, 2)], nice=False),
        axis=alt.Axis(
            values=[0.5, *ticks],
            labels=title is not None,
            labelExpr="datum.value < 1 ? '0' : format(datum.value, ',')",
            labelOverlap="parity",
            labelSeparation=6,
        ),
    )


def linear_step_axis(
    first: float, last: float, title: str | None = "fine-tuning step", *, ticks: int = 6
) -> alt.X:
    """Linear axis of `step`; unlabelled without a title."""
    return alt.X(
        "step:Q",
        title=title,
        scale=alt.Scale(domain=[first, max(last, first + 1)], nice=False),
        axis=alt.Axis(
            labels=title is not None, tickCount=ticks, labelExpr=_COUNT, labelOverlap="parity",
            labelSeparation=6, labelFlush=True,
        ),
    )  # fmt: skip


def epoch_axis(epochs: Iterable[float]) -> alt.Axis:
    """Ticks at exactly these epochs (a number format would round them to the scale's steps)."""
    return alt.Axis(values=sorted(set(epochs)), labelExpr=PLAIN)


def fraction_axis(**more: Any) -> alt.Axis:
    """Vertical axis of an accuracy, in percent."""
    return alt.Axis(tickCount=5, labelExpr="format(100 * datum.value, '.3~r') + ' %'", **more)


def count_axis(**more: Any) -> alt.Axis:
    """Vertical axis of other numbers on a linear scale."""
    return alt.Axis(tickCount=5, labelExpr=PLAIN, **more)


class Log:
    """A log scale for values at or above 0: zeros, which have no logarithm, lie a decade lower."""

    def __init__(self, values: Iterable[float]):
        values = list(values)
        positive = [value for value in values if value > 0] or [1.0]
        self.floor = min(positive) / 10 if 0 in values else None
        self.low, self.high = min(positive), max(positive)

    def position(self, value: float) -> float:
        """Where to draw a value."""
        return self.floor if self.floor is not None and value == 0 else value

    def axis(self, names: Mapping[float, str] | None = None) -> alt.Axis:
        """Ticks at the values of `names` with those labels.

        Default: whole powers of ten, at most six; within two decades also 2 and 5 times those.
        """
        names = names or {tick: power(tick) for tick in _log_ticks(self.low, self.high)}
        names = {value: name for value, name in names.items() if value > 0}
        if self.floor is not None:
            names[self.floor] = "0"
        # Looked up by logarithm: how an expression would print 1e-8 is not to be relied on.
        texts = {f"{round(1000 * math.log10(tick))}": name for tick, name in names.items()}
        lookup = json.dumps(texts, ensure_ascii=False)
        return alt.Axis(
            values=sorted(names),
            labelExpr=f"{lookup}[round(1000 * log(datum.value) / LN10)]",
            labelOverlap="parity",
        )

    def scale(self) -> alt.Scale:
        """The scale of those positions."""
        low = self.low if self.floor is None else self.floor
        margin = max(1.1, (self.high / low) ** 0.02)  # or a line at the edge would be cut in half
        return alt.Scale(type="log", domain=[low / margin, self.high * margin], nice=False)


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    inside = [e for e in range(first, last + 1) if low / 1.5 <= 10.0**e <= high * 1.5]
    if len(inside) > 2:
        every = math.ceil(len(inside) / 6)
        return [_ten(e) for e in inside[::-1][::every]][::-1]
    fine = [m * _ten(e) for e in range(first, last + 1) for m in (1, 2, 5)]
    return [tick for tick in fine if low / 1.2 <= tick <= high * 1.2] or [low]


def _ten(exponent: int) -> float:
    return float(f"1e{exponent}")
