"""FAST against baselines of several rates under RAdam (FAST, Fig. 12)."""

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
    id="A-F12",
    short="RAdam",
    title="Is FAST ahead of every baseline rate under RAdam?",
    lede=(
        "Could a baseline be as good, if only its rate were chosen well? Each line is one rate; "
        "a method worth having is near the top everywhere."
    ),
    paper=(
        "Fig. 12: RAdam depends on the rate too and converges more slowly than Adam; FAST is ahead "
        "of each baseline ((b) VGG-19, c = 5×10⁻⁴; ImageNet to CIFAR-100, 15 seeds; panel (a) is "
        "missing from the copy read)."
    ),
    here=(
        "ADP of FAST and of baselines (one rate, α = β) under RAdam, mean over seeds with "
        "its 95 % interval; a panel for each source."
    ),
    query=by_source_query("optimiser = 'radam' AND role IN ('fast', 'baseline')"),
    panel=PANEL,
    panel_title=source_title,
    draw=draw_by_source,
    absent="No arm of role fast or baseline uses RAdam.",
    label=method_label,
)
