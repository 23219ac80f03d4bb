"""Norm of the classifier's weights against step (FAST, Figs 4, 8b and 10b)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.exhibits.bands import band_chart, band_rows
from fastpipe.reporting.exhibits.exhibit import Exhibit, setting_title, step_axis
from fastpipe.reporting.numbers import plain
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """Mean norm with its band for each arm, on two log axes."""
    drawn = band_rows(rows, plain)
    for row in drawn:  # a band that reaches 0 has no place on a log axis
        row["low"] = max(row["low"], row["mean"] / 10)
    return band_chart(
        drawn,
        arms,
        x=step_axis(max(row["step"] for row in rows)),
        title="Norm of the classifier's weights (log scale)",
        scale=alt.Scale(type="log"),
        form=".3~g",
        labels="datum.value < 0.01 ? format(datum.value, '.0e') : format(datum.value, '.3~g')",
        tooltip=[alt.Tooltip("step:Q", title="step", format=",")],
        points=False,
    )


EXHIBIT = Exhibit(
    id="head-norm",
    short="Classifier size",
    title="How large is the classifier?",
    lede=(
        "The gradient that reaches the pretrained body is proportional to the classifier's "
        "weights. A classifier that starts near zero therefore leaves the body alone until it "
        "has itself learned something."
    ),
    paper=(
        "A classifier with large first weights keeps their norm almost unchanged for long; one "
        "that starts near zero grows in step with what it learns (Fig. 4: ResNet-18, CIFAR-100)."
    ),
    here=(
        "Frobenius norm ‖W‖ after each step, mean over seeds with its 95 % interval; late steps "
        "are thinned to about 20 per factor of e. A norm of exactly 0 has no place on a log axis."
    ),
    query="""
        WITH per_step AS (
            SELECT setting_source, setting_epoch, target, arm, position, step,
                count(head_norm) AS seeds, avg(head_norm) AS mean,
                half_width95(head_norm) AS half_width
            FROM (
                SELECT comparison.*, steps.step, head_norm
                FROM comparison
                JOIN steps USING (source, epoch, target, recipe, seed)
                WHERE isfinite(head_norm)
            )
            GROUP BY ALL
        )
        SELECT setting_source, setting_epoch, target, arm, step, seeds, mean, half_width
        FROM per_step
        WHERE mean > 0 AND (
            step < 2
            OR floor(20 * ln(step)) > floor(20 * ln(step - 1))
            OR step = (SELECT max(step) FROM per_step))
        ORDER BY setting_source, target, position, step
    """,
    panel=("setting_source", "target"),
    panel_title=setting_title,
    draw=draw,
    absent="No steps have been recorded.",
)
