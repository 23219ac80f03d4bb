"""ADP on the source against step: what fine-tuning forgets (FAST, Figs 3 and 5, second rows)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.exhibits.bands import band_chart, band_rows
from fastpipe.reporting.exhibits.exhibit import Exhibit, setting_title, step_axis
from fastpipe.reporting.numbers import percent
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """Mean source accuracy with its band for each arm, and the snapshot's own as a guide."""
    chart = band_chart(
        band_rows(rows, percent, floor=0.0, ceiling=1.0),
        arms,
        x=step_axis(max(row["step"] for row in rows)),
        title="Accuracy on the source's test images (top-1, %)",
        scale=alt.Scale(zero=False, nice=True),
        form=".0%",
        tooltip=[alt.Tooltip("step:Q", title="step", format=",")],
    )
    before = alt.Chart(alt.InlineData(values=[{"before": rows[0]["before"]}]))
    return chart + before.mark_rule(style="guide").encode(y=alt.Y("before:Q"))


EXHIBIT = Exhibit(
    id="adp-source",
    short="Forgetting",
    title="How much of the old task is forgotten?",
    lede=(
        "The same deployed models, now with the classifier of the source task put back. The "
        "dashed line is the accuracy before fine-tuning; a fall below it is forgetting."
    ),
    paper=(
        "The closer to zero the new classifier starts, the more of the source is kept, although "
        "the target is learned faster (Figs 3 and 5: ResNet-18 pretrained on CIFAR-100)."
    ),
    here=(
        "Mean over seeds with its 95 % interval. Feature extraction never changes the body and "
        "stays on the dashed line; training from scratch has nothing to forget and is left out."
    ),
    query="""
        SELECT setting_source, setting_epoch, target, arm, step, seeds, mean, half_width, before
        FROM retention_bands
        ORDER BY setting_source, target, position, step
    """,
    panel=("setting_source", "target"),
    panel_title=setting_title,
    draw=draw,
    absent="Forgetting has not been measured.",
)
