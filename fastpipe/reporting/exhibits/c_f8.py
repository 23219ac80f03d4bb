"""Learning curves with and without momentum, most similar target (Li et al., ICLR 2020, Fig. 8)."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.rate_curves import (
    ABSENT,
    PANEL,
    curves_title,
    draw_learning_curves,
    learning_curves_query,
)

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="C-F8",
    short="Learning curves",
    title="How does a similar target learn at each rate, with momentum and without?",
    lede=(
        "A learning rate with m = 0.9 has the same effective rate as one ten times as large "
        "without momentum: its curve on the left should return on the right, in that one's colour."
    ),
    paper=(
        "Fig. 8: on Dogs the learning rate of a given performance grows tenfold when momentum goes "
        "from 0.9 to 0 (ResNet-101 from ImageNet, λ = 0.0001, rates 0.0001 to 0.1, 300 epochs)."
    ),
    here=(
        "Mean validation error over seeds with its 95 % interval, on the target most similar to "
        "the first source, at the default weight decay. The schedule lowers the rate on the way."
    ),
    query=learning_curves_query("target_place = 1"),
    panel=PANEL,
    panel_title=curves_title,
    draw=draw_learning_curves,
    absent=ABSENT,
    colour="line",
)
