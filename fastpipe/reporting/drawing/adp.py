"""ADP on the target against step."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.bands import accuracy_chart, accuracy_rows
from fastpipe.reporting.tables import Row

__all__ = ["draw_adp"]


def draw_adp(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """Mean test accuracy with its band for each arm."""
    drawn = accuracy_rows(rows)
    return accuracy_chart(drawn, arms).properties(data=alt.InlineData(values=drawn))
