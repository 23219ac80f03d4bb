"""A mean line with its 95 % band for each arm: the form most exhibits share."""

from collections.abc import Callable, Sequence

import altair as alt

from fastpipe.reporting.exhibits.exhibit import (
    HEIGHT,
    arm_colour,
    interval,
    pick,
    picked,
    rounded,
    step_position,
)
from fastpipe.reporting.tables import Row

__all__ = ["band_chart", "band_rows"]


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
    kept = {name: row[name] for name in ("arm", "step", "epoch", "seeds") if name in row}
    at = {"at": step_position(row["step"])} if "step" in row else {}
    return kept | at | {
        "mean": rounded(mean),
        "low": rounded(low if floor is None else max(low, floor)),
        "high": rounded(high if ceiling is None else min(high, ceiling)),
        "text": form(mean),
        "interval": interval(mean, half, form),
    }  # fmt: skip


def band_chart(
    rows: Sequence[Row],
    arms: Sequence[str],
    *,
    x: alt.X,
    title: str,
    scale: alt.Scale,
    form: str,
    tooltip: Sequence[alt.Tooltip],
    points: bool = True,
    labels: str | None = None,
) -> alt.LayerChart:
    """Lines of `mean` with bands from `low` to `high`, coloured by arm.

    Args:
        rows: from :func:`band_rows`, with what `x` and `tooltip` need.
        arms: all arms of the study, in display order.
        x: horizontal axis.
        title: of the vertical axis, with its unit.
        scale: vertical scale.
        form: d3 format of the vertical axis.
        tooltip: what tooltips tell between the arm's name and the mean.
        points: draw points; otherwise invisible ones carry the tooltips.
        labels: Vega expression for the vertical axis' labels, instead of `form`.
    """
    choice = pick()
    colour = arm_colour(arms, [row["arm"] for row in rows])

    text = {"labelExpr": labels} if labels else {"format": form}

    def y(field: str) -> alt.Y:
        return alt.Y(field, title=title, scale=scale, axis=alt.Axis(tickCount=5, **text))

    base = alt.Chart().encode(x=x, color=colour)
    band = base.mark_area(clip=True).encode(
        y=y("low:Q"), y2="high:Q", opacity=picked(choice, 0.15, 0.03)
    )
    line = base.mark_line(strokeWidth=2).encode(y=y("mean:Q"), opacity=picked(choice, 1.0, 0.12))
    dots = base.mark_point(filled=True, size=30 if points else 90).encode(
        y=y("mean:Q"),
        opacity=picked(choice, 1.0, 0.1) if points else alt.value(0),
        tooltip=[
            alt.Tooltip("arm:N", title="arm"),
            *tooltip,
            alt.Tooltip("text:N", title="mean"),
            alt.Tooltip("interval:N", title="95 % interval"),
            alt.Tooltip("seeds:Q", title="seeds"),
        ],
    )
    return alt.layer(band, line.add_params(choice), dots).properties(
        data=alt.InlineData(values=list(rows)), height=HEIGHT
    )
