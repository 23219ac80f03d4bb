"""Symmetric against asymmetric scaling of rates, without skip connections (FAST, Fig. 9)."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.scaling import (
    ABSENT,
    PANEL,
    draw_scaling,
    scaling_query,
    scaling_title,
)
from fastpipe.reporting.drawing.text import rates_label

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="A-F9",
    short="Scaling, no skips",
    title="And on a rougher landscape?",
    lede=(
        "From one common rate, both rates are scaled (a) or the body's alone (b). The reference, "
        "α = β, is the same in both panels; below each, the size of the head over the same steps."
    ),
    paper=(
        "Fig. 9: as Fig. 8 and bolder; asymmetric scaling speeds ADP up more, since without skip "
        "connections the loss landscape is rougher (VGG-19, ImageNet to CIFAR-100, c = 0.05, 15 "
        "seeds)."
    ),
    here=(
        "Sources without skip connections, heads that start next to nothing: ADP above, ‖W‖ "
        "below, mean over seeds with its 95 % interval. Arms are named by their "
        "rates where these tell them apart."
    ),
    query=scaling_query("NOT skips"),
    panel=PANEL,
    panel_title=scaling_title,
    draw=draw_scaling,
    absent=ABSENT,
    label=rates_label,
)
