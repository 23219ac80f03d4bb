"""Validation error against step, one line for each learning rate (Li et al., ICLR 2020, app. A)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.axes import fraction_axis, last_step, linear_step_axis
from fastpipe.reporting.drawing.bands import accuracy_rows, band_chart
from fastpipe.reporting.drawing.text import number
from fastpipe.reporting.drawing.variants import NEAR_DEFAULT
from fastpipe.reporting.tables import Row

__all__ = [
    "ABSENT",
    "PANEL",
    "curves_title",
    "draw_learning_curves",
    "learning_curves_query",
]

PANEL = ("target", "momentum")
ABSENT = "No arm of role baseline has variants of its learning rate that were validated."


def learning_curves_query(where: str) -> str:
    """Mean ± half width over seeds at each validation, at the default weight decay.

    Args:
        where: a condition on `target_place`, the target's place in the order of similarity.
    """
    return f"""
        WITH {NEAR_DEFAULT},
        curves AS (
            SELECT study, setting_source, target, target_place, momentum, rate,
                format('η = {{:g}}', rate) AS line, rate AS colour_place, step,
                count(top1) AS seeds, avg(1 - top1) AS mean,
                half_width95(1 - top1) AS half_width
            FROM near
            JOIN (SELECT * RENAME (source AS setting_source) FROM validations)
                USING (setting_source, epoch, target, recipe)
            WHERE of_first_source AND decay = default_decay AND list_contains(own_seeds, seed)
            GROUP BY ALL
        )
        SELECT *, max(mean) OVER (PARTITION BY study, setting_source, target) AS highest
        FROM curves
        WHERE {where}
        ORDER BY study, target_place, momentum DESC, rate, step
    """


def draw_learning_curves(rows: Sequence[Row], rates: Sequence[str]) -> alt.LayerChart:
    """A line with its 95 % band for each learning rate; both momenta share the vertical scale."""
    drawn = accuracy_rows(rows)
    chart = band_chart(
        drawn, rates, x=linear_step_axis(0, last_step(rows)),
        title="Validation error (top-1, %)", axis=fraction_axis(), points=False, field="line",
        scale=alt.Scale(domain=[0, min(1.0, 1.04 * rows[0]["highest"])], nice=False),
    )  # fmt: skip
    return chart.properties(data=alt.InlineData(values=drawn))


def curves_title(row: Row) -> str:
    """Panels differ by target and momentum."""
    return f"{row['target']}, m = {number(row['momentum'])}"
