"""The best error at each effective learning rate (Li et al., ICLR 2020, Fig. 4)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.curves import draw_curves
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.variants import IN_ORDER, PANEL, best_by, start_title
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], targets: Sequence[str]) -> alt.LayerChart:
    """A line for each target."""
    return draw_curves(rows, targets, field="elr", title="effective learning rate η/(1 − m)")


EXHIBIT = Exhibit(
    id="C-F4",
    short="Best learning rate",
    title="Which effective learning rate does a target need?",
    lede=(
        "Each point is the best that a target reaches at one effective learning rate, whatever "
        "the momentum and weight decay. The ring marks the rate chosen for the target: if similar "
        "targets need smaller ones, the rings of the first targets lie further left."
    ),
    paper=(
        "Fig. 4: from ImageNet with ResNet-101 the best rates are 0.001 for Dogs (error 9.83 %), "
        "0.005 Caltech (11.61), 0.01 Indoor (20.54), 0.05 Birds (16.34), 0.5 Cars (7.61), 1.0 "
        "Aircrafts (12.33), 0.1 Flowers (2.91). DenseNet-121 and MobileNet order the targets "
        "alike; from iNaturalist the smallest is that of Birds (0.005). From scratch all targets "
        "want a large one: 1.0 or 2.0."
    ),
    here=(
        "Mean test error over seeds of the variant with the best mean validation accuracy at each "
        "rate; the ringed rate has the best of all. Targets in the order of their similarity to "
        "the first source."
    ),
    query=f"""
        WITH {best_by("elr")}
        SELECT *, target_place AS colour_place FROM best ORDER BY {IN_ORDER}, elr
    """,
    panel=PANEL,
    panel_title=start_title,
    draw=draw,
    absent="No runs of SGD with one learning rate for head and body.",
    colour="target",
)
