"""Test error against one setting: a momentum, or a learning rate."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.axes import PLAIN, fraction_axis
from fastpipe.reporting.drawing.bands import band_chart, band_rows
from fastpipe.reporting.drawing.text import rounded
from fastpipe.reporting.numbers import percent
from fastpipe.reporting.tables import Row

__all__ = ["draw_by_momentum", "draw_by_rate"]

_TITLE = "Test error (top-1, %)"
_KEPT = "format(1 - 1 / datum.value, '.3~r')"


def draw_by_momentum(rows: Sequence[Row], lines: Sequence[str], title: str) -> alt.LayerChart:
    """Error against a momentum `setting`, evenly by what it multiplies: on a log scale of
    1 / (1 − m)."""
    return _draw(rows, lines, title, lambda m: 1 / (1 - m), _KEPT)


def draw_by_rate(rows: Sequence[Row], lines: Sequence[str], title: str) -> alt.LayerChart:
    """Error against a learning rate `setting`, above 0, on a log scale."""
    return _draw(rows, lines, title, float, PLAIN)


def _draw(rows, lines, title, position, label) -> alt.LayerChart:
    drawn = band_rows(rows, percent, floor=0.0, ceiling=1.0)
    for row, own in zip(drawn, rows, strict=True):
        row |= {"at": rounded(position(own["setting"])), "setting": own["setting"]}
    places = sorted({row["at"] for row in drawn})
    x = alt.X(
        "at:Q",
        title=title,
        scale=alt.Scale(type="log", domain=[places[0], max(places[-1], places[0] * 2)],
                        nice=False, padding=14),
        axis=alt.Axis(values=places, labelExpr=label, labelOverlap="parity"),
    )  # fmt: skip
    tooltip = [alt.Tooltip("setting:Q", title=title.partition(" (")[0])]
    chart = band_chart(
        drawn, lines, x=x, title=_TITLE, scale=alt.Scale(zero=True), axis=fraction_axis(),
        tooltip=tooltip, field="line",
    )  # fmt: skip
    return chart.properties(data=alt.InlineData(values=drawn))
