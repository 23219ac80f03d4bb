"""Symmetric against asymmetric scaling of rates, with skip connections (FAST, Fig. 8)."""

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
    id="A-F8",
    short="Scaling rates",
    title="Should both rates be scaled, or only the body's?",
    lede=(
        "From one common rate, both rates are scaled (a) or the body's alone (b). The reference, "
        "α = β, is the same in both panels; below each, the size of the head over the same steps."
    ),
    paper=(
        "Fig. 8: scaling both rates down ends higher but costs ADP within the first 100 steps; "
        "scaling only β down ends as high without that cost (ResNet-18, ImageNet to CIFAR-100, "
        "c = 10⁻², 15 seeds)."
    ),
    here=(
        "Sources with skip connections, heads that start next to nothing: ADP above, ‖W‖ "
        "below, mean over seeds with its 95 % interval. Arms are named by their "
        "rates where these tell them apart."
    ),
    query=scaling_query("skips"),
    panel=PANEL,
    panel_title=scaling_title,
    draw=draw_scaling,
    absent=ABSENT,
    label=rates_label,
)
