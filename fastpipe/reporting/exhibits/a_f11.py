"""FAST against baselines of several rates under Adam (FAST, Fig. 11)."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.optimisers import (
    PANEL,
    by_source_query,
    draw_by_source,
    method_label,
    source_title,
)

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="A-F11",
    short="Adam",
    title="Is FAST ahead of every baseline rate under Adam?",
    lede=(
        "Could a baseline be as good, if only its rate were chosen well? Each line is one rate; "
        "a method worth having is near the top everywhere."
    ),
    paper=(
        "Fig. 11: Adam (0.9, 0.999) speeds the baselines up, and FAST is still ahead of each ((a) "
        "DenseNet-201, (b) VGG-19, c = 5×10⁻⁴; ImageNet to CIFAR-100, 15 seeds)."
    ),
    here=(
        "ADP of FAST and of baselines (one rate, α = β) under Adam, mean over seeds with "
        "its 95 % interval; a panel for each source."
    ),
    query=by_source_query("optimiser = 'adam' AND role IN ('fast', 'baseline')"),
    panel=PANEL,
    panel_title=source_title,
    draw=draw_by_source,
    absent="No arm of role fast or baseline uses Adam.",
    label=method_label,
)
