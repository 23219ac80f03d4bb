"""A mean line with its 95 % band for each arm: the form most exhibits share."""

from collections.abc import Callable, Sequence

import altair as alt

from fastpipe.reporting.drawing.arms import arm_colour, arm_dash, pick, picked
from fastpipe.reporting.drawing.axes import (
    Log,
    count_axis,
    fraction_axis,
    last_step,
    step_axis,
    step_position,
)
from fastpipe.reporting.drawing.text import interval, rounded
from fastpipe.reporting.numbers import percent, plain
from fastpipe.reporting.tables import Row

__all__ = [
    "HEIGHT",
    "STEP_TOOLTIP",
    "accuracy_chart",
    "accuracy_rows",
    "band_chart",
    "band_rows",
    "log_chart",
    "log_rows",
]

HEIGHT = 300
STEP_TOOLTIP = (alt.Tooltip("step:Q", title="step", format=","),)
_KEPT = ("arm", "line", "detail", "measure", "step", "epoch", "position", "layer", "seeds")


def band_rows(
    rows: Sequence[Row],
    form: Callable[[float], str],
    *,
    floor: float | None = None,
    ceiling: float | None = None,
) -> list[Row]:
    """Rows ready to draw: limits of the band (kept within floor and ceiling), and their text."""
    return [_band_row(row, form, floor, ceiling) for row in rows if row["mean"] is not None]


def _band_row(
    row: Row, form: Callable[[float], str], floor: float | None, ceiling: float | None
) -> Row:
    mean, half = row["mean"], row["half_width"]
    low, high = mean - (half or 0.0), mean + (half or 0.0)
    kept = {name: row[name] for name in _KEPT if name in row}
    at = {"at": step_position(row["step"])} if "step" in row else {}
    return kept | at | {
        "mean": rounded(mean),
        "low": rounded(low if floor is None else max(low, floor)),
        "high": rounded(high if ceiling is None else min(high, ceiling)),
        "text": form(mean),
        "interval": interval(mean, half, form),
    }  # fmt: skip


def accuracy_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows whose mean is a fraction."""
    return band_rows(rows, percent, floor=0.0, ceiling=1.0)


def log_rows(rows: Sequence[Row], log: Log) -> list[Row]:
    """Rows for a log axis: `mean_at`, `low` and `high` lie on it."""
    drawn = band_rows(rows, plain)
    for row in drawn:
        row["mean_at"] = log.position(row["mean"])
        # A band that reaches 0 has no place there: it ends a decade below the mean.
        row["low"] = max(row["low"], row["mean_at"] / 10)
        row["high"] = max(row["high"], row["mean_at"])
    return drawn


def band_chart(
    rows: Sequence[Row],
    arms: Sequence[str],
    *,
    x: alt.X,
    title: str,
    scale: alt.Scale,
    axis: alt.Axis,
    tooltip: Sequence[alt.Tooltip] = STEP_TOOLTIP,
    mean: str = "mean:Q",
    points: bool = True,
    choice: alt.Parameter | None = None,
    height: int = HEIGHT,
    field: str = "arm",
) -> alt.LayerChart:
    """Lines of `mean` with bands from `low` to `high`, coloured by arm; the data are not added.

    Args:
        rows: from :func:`band_rows`, with what `x` and `tooltip` need.
        arms: the arms that colours stand for, in display order.
        x: horizontal axis.
        title: of the vertical axis, with its unit.
        scale: vertical scale.
        axis: vertical axis.
        tooltip: what tooltips tell between the arm's name and the mean.
        mean: field of the line.
        points: draw points; otherwise invisible ones carry the tooltips.
        choice: the legend's choice where another panel declares it; default: declared here.
        height: of the plot.
        field: what colours stand for, if not arms: a column of texts.
    """
    own = choice or pick(field)
    present = {row[field] for row in rows}

    def y(field: str) -> alt.Y:
        return alt.Y(field, title=title, scale=scale, axis=axis)

    base = alt.Chart().encode(x=x, color=arm_colour(arms, [a for a in arms if a in present], field))
    band = base.mark_area(clip=True).encode(
        y=y("low:Q"), y2="high:Q", opacity=picked(own, 0.15, 0.03)
    )
    line = base.mark_line(strokeWidth=2, clip=True).encode(
        y=y(mean), opacity=picked(own, 1.0, 0.12), **arm_dash(arms, field)
    )
    detail = any(row.get("detail") for row in rows)
    dots = base.mark_point(filled=True, size=30 if points else 90).encode(
        y=y(mean),
        opacity=picked(own, 1.0, 0.1) if points else alt.value(0),
        tooltip=[
            alt.Tooltip(f"{field}:N", title="arm" if field == "arm" else "line"),
            *([alt.Tooltip("detail:N", title="that is")] if detail else []),
            *tooltip,
            alt.Tooltip("text:N", title="mean"),
            alt.Tooltip("interval:N", title="95 % interval"),
            alt.Tooltip("seeds:Q", title="seeds"),
        ],
    )
    line = line if choice else line.add_params(own)
    return alt.layer(band, line, dots).properties(height=height)


def accuracy_chart(
    rows: Sequence[Row],
    arms: Sequence[str],
    *,
    title: str = "Test accuracy of the model one would deploy (top-1, %)",
    x: alt.X | None = None,
    scale: alt.Scale | None = None,
    choice: alt.Parameter | None = None,
    height: int = HEIGHT,
) -> alt.LayerChart:
    """Accuracies against step, from :func:`accuracy_rows`; the whole range unless `scale` says."""
    return band_chart(
        rows,
        arms,
        x=x or step_axis(last_step(rows)),
        title=title,
        scale=scale or alt.Scale(domain=[0, 1]),
        axis=fraction_axis(),
        choice=choice,
        height=height,
    )


def log_chart(
    rows: Sequence[Row],
    arms: Sequence[str],
    log: Log,
    *,
    title: str,
    x: alt.X | None = None,
    tooltip: Sequence[alt.Tooltip] = STEP_TOOLTIP,
    points: bool = False,
    choice: alt.Parameter | None = None,
    height: int = HEIGHT,
) -> alt.LayerChart:
    """Values of 0 or above on a log axis, from :func:`log_rows`."""
    return band_chart(
        rows,
        arms,
        x=x or step_axis(last_step(rows)),
        title=title,
        scale=log.scale(),
        axis=log.axis(),
        tooltip=tooltip,
        mean="mean_at:Q",
        points=points,
        choice=choice,
        height=height,
    )


def linear_chart(
    rows: Sequence[Row], arms: Sequence[str], *, title: str, x: alt.X, height: int = HEIGHT
) -> alt.LayerChart:
    """Values of 0 or above on a linear axis that starts at 0."""
    return band_chart(
        rows, arms, x=x, title=title, scale=alt.Scale(zero=True), axis=count_axis(),
        points=False, height=height,
    )  # fmt: skip
