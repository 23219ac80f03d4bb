"""Two panels over one axis, read as one figure."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.tables import Row

__all__ = ["STACKED_HEIGHT", "measured", "of_measure", "stack"]

STACKED_HEIGHT = 215
_BETWEEN = 46
"""Room for the lower panel's title, which lies above its axis."""


def of_measure(rows: Sequence[Row], measure: str) -> list[Row]:
    """The rows of one panel."""
    return [row for row in rows if row["measure"] == measure]


def measured(chart: alt.LayerChart, measure: str) -> alt.LayerChart:
    """A panel that draws those rows only."""
    return chart.transform_filter(alt.datum.measure == measure)


def stack(rows: Sequence[Row], *panels: alt.LayerChart) -> alt.VConcatChart:
    """Panels from top to bottom on common data, so that a download holds all of it."""
    return alt.vconcat(*panels, spacing=_BETWEEN).properties(
        data=alt.InlineData(values=list(rows)), bounds="flush"
    )
