"""ADP on the target against step (FAST, Figs 8, 10 and 14)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.exhibits.bands import band_chart, band_rows
from fastpipe.reporting.exhibits.exhibit import Exhibit, setting_title, step_axis
from fastpipe.reporting.numbers import percent
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """Mean test accuracy with its band for each arm."""
    return band_chart(
        band_rows(rows, percent, floor=0.0, ceiling=1.0),
        arms,
        x=step_axis(max(row["step"] for row in rows)),
        title="Test accuracy of the model one would deploy (top-1, %)",
        scale=alt.Scale(domain=[0, 1]),
        form=".0%",
        tooltip=[alt.Tooltip("step:Q", title="step", format=",")],
    )


EXHIBIT = Exhibit(
    id="adp-target",
    short="Learning speed",
    title="How quickly is the new task learned?",
    lede=(
        "Suppose training is stopped at some step and the best model so far, by validation, is "
        "handed over. Its test accuracy is the anytime deployment performance (ADP). Curves that "
        "rise further to the left learn with less work."
    ),
    paper=(
        "FAST is above baselines of every learning rate at nearly all steps: a large rate helps "
        "a baseline early and hurts it later, a small one the reverse (Figs 10 and 14: "
        "ResNeXt-101, DenseNet-201 and VGG-19 on CIFAR-100 and Caltech-256, 15 seeds)."
    ),
    here="Mean over seeds with its 95 % interval, at Fibonacci steps and the last.",
    query="""
        SELECT setting_source, setting_epoch, target, arm, step, seeds, mean, half_width
        FROM adp_bands
        ORDER BY setting_source, target, position, step
    """,
    panel=("setting_source", "target"),
    panel_title=setting_title,
    draw=draw,
    absent="No deployed state has been scored.",
)
