"""Validation error against step, one line for each learning rate (Li et al., ICLR 2020, app. A)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.arms import arm_colour, arm_dash, pick, picked
from fastpipe.reporting.drawing.axes import fraction_axis, linear_step_axis
from fastpipe.reporting.drawing.bands import HEIGHT
from fastpipe.reporting.drawing.text import interval, number, rounded
from fastpipe.reporting.drawing.variants import NEAR_DEFAULT
from fastpipe.reporting.numbers import percent
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
                format('η = {{:g}}', rate) AS rate_label, rate AS colour_place, step,
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
    own = pick("rate_label")
    scale = alt.Scale(domain=[0, min(1.0, 1.04 * rows[0]["highest"])], nice=False)

    def y(field: str) -> alt.Y:
        return alt.Y(field, title="Validation error (top-1, %)", scale=scale, axis=fraction_axis())

    base = alt.Chart().encode(
        x=linear_step_axis(0, max(row["step"] for row in rows)),
        color=arm_colour(rates, [row["rate_label"] for row in rows], "rate_label"),
    )
    band = base.mark_area(clip=True).encode(
        y=y("low:Q"), y2="high:Q", opacity=picked(own, 0.13, 0.02)
    )
    line = base.mark_line(strokeWidth=2, clip=True).encode(
        y=y("mean:Q"), opacity=picked(own, 1.0, 0.12), **arm_dash(rates, "rate_label")
    )
    dots = base.mark_point(filled=True, size=70).encode(
        y=y("mean:Q"),
        opacity=alt.value(0),
        tooltip=[
            alt.Tooltip("rate_label:N", title="learning rate"),
            alt.Tooltip("step:Q", title="step", format=","),
            alt.Tooltip("text:N", title="mean"),
            alt.Tooltip("interval:N", title="95 % interval"),
            alt.Tooltip("seeds:Q", title="seeds"),
        ],
    )
    return alt.layer(band, line.add_params(own), dots).properties(
        data=alt.InlineData(values=[_point(row) for row in rows]), height=HEIGHT
    )


def _point(row: Row) -> Row:
    mean, half = row["mean"], row["half_width"]
    return {
        "rate_label": row["rate_label"],
        "step": row["step"],
        "mean": rounded(mean),
        "low": rounded(max(0.0, mean - (half or 0.0))),
        "high": rounded(min(1.0, mean + (half or 0.0))),
        "text": percent(mean),
        "interval": interval(mean, half, percent),
        "seeds": row["seeds"],
    }


def curves_title(row: Row) -> str:
    """Panels differ by target and momentum."""
    return f"{row['target']}, m = {number(row['momentum'])}"
