"""ADP early and late, on axes of their own (FAST, Figs 14 and 15)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.axes import last_step, linear_step_axis, step_axis
from fastpipe.reporting.drawing.bands import accuracy_chart, accuracy_rows
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.optimisers import method_label
from fastpipe.reporting.drawing.queries import FAST_AND_BASELINES, bands, chosen
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

_PARTS = {"a": "the first steps", "b": "the rest, magnified"}


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """Early: all of the accuracy, on a log axis. Late: its upper end, on a linear one."""
    drawn, last = accuracy_rows(rows), last_step(rows)
    if rows[0]["part"] == "a":
        chart = accuracy_chart(drawn, arms, title="ADP (top-1, %)", x=step_axis(last))
    else:
        first = min(row["step"] for row in rows)
        chart = accuracy_chart(
            drawn, arms, title="ADP (top-1, %), magnified",
            x=linear_step_axis(first, last, "fine-tuning step (linear scale)", ticks=4),
            scale=alt.Scale(zero=False, nice=False, padding=8),
        )  # fmt: skip
    return chart.properties(data=alt.InlineData(values=drawn))


EXHIBIT = Exhibit(
    id="A-F14",
    short="Convergence",
    title="Is FAST still ahead when training has converged?",
    lede=(
        "The first tenth of the steps, then the rest with accuracy magnified: learning faster "
        "should not mean ending lower."
    ),
    paper=(
        "Figs 14 and 15: FAST learns faster than baselines of any rate and ends no lower "
        "(ResNeXt-101-32x8d; CIFAR-100 for 250 and Caltech-256 for 330 epochs, 15 seeds)."
    ),
    here=(
        "Mean over seeds with its 95 % interval; a pair of panels for each target. As in the "
        "paper, neither the scales nor the proportions of the axes agree between the two."
    ),
    query=f"""
        WITH {chosen(FAST_AND_BASELINES)},
        lines AS ({bands("adp")}),
        ends AS (SELECT study, setting_source, target, max(step) AS last FROM lines GROUP BY ALL),
        timed AS (FROM lines JOIN ends USING (study, setting_source, target))
        SELECT 'a' AS part, * FROM timed WHERE step <= last / 10
        UNION ALL
        SELECT 'b' AS part, * FROM timed WHERE step >= last / 10
        ORDER BY study, setting_source, target, part, position, step
    """,
    panel=("setting_source", "target", "part"),
    panel_title=lambda row: f"{row['target']}: {_PARTS[row['part']]}",
    draw=draw,
    absent="No arm of role fast or baseline uses SGD with momentum.",
    label=method_label,
    layout="wide-narrow",
)
