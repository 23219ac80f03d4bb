"""ADP on the source against step: what fine-tuning forgets (FAST, Figs 3 and 5, second rows)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.bands import accuracy_chart, accuracy_rows
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """Mean source accuracy with its band for each arm, and the snapshot's own as a guide."""
    drawn = accuracy_rows(rows)
    chart = accuracy_chart(
        drawn,
        arms,
        title="Accuracy on the source's test images (top-1, %)",
        scale=alt.Scale(zero=False, nice=True),
    ).properties(data=alt.InlineData(values=drawn))
    before = alt.Chart(alt.InlineData(values=[{"before": rows[0]["before"]}]))
    return chart + before.mark_rule(style="guide").encode(y=alt.Y("before:Q"))


EXHIBIT = Exhibit(
    id="adp-source",
    place=2,
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
        SELECT study, setting_source, setting_epoch, target, arm, step, seeds,
            mean, half_width, before
        FROM retention_bands
        ORDER BY study, setting_source, target, position, step
    """,
    panel=("setting_source", "target"),
    draw=draw,
    absent="Forgetting has not been measured.",
)
