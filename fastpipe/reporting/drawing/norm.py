"""The head's norm against step."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.axes import Log
from fastpipe.reporting.drawing.bands import log_chart, log_rows
from fastpipe.reporting.tables import Row

__all__ = ["draw_norms"]


def draw_norms(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """Mean norm with its band for each arm, on two log axes."""
    log = Log(row["mean"] for row in rows)
    drawn = log_rows(rows, log)
    chart = log_chart(drawn, arms, log, title="Norm of the classifier's weights (log scale)")
    return chart.properties(data=alt.InlineData(values=drawn))
