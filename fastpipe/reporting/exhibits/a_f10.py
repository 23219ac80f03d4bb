"""FAST against baselines of several rates under SGD with momentum (FAST, Fig. 10)."""

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
    id="A-F10",
    short="SGD",
    title="Is FAST ahead of every baseline rate under SGD with momentum?",
    lede=(
        "Could a baseline be as good, if only its rate were chosen well? Each line is one rate; "
        "a method worth having is near the top everywhere."
    ),
    paper=(
        "Fig. 10: a large rate helps a baseline early and holds it back later, a small one the "
        "reverse; FAST is not so compromised ((a) DenseNet-201, c = 10⁻², (b) VGG-19, c = 0.05; "
        "ImageNet to CIFAR-100, 15 seeds)."
    ),
    here=(
        "ADP of FAST and of baselines (one rate, α = β) under SGD with momentum, mean over seeds "
        "with its 95 % interval; a panel for each source."
    ),
    query=by_source_query("optimiser = 'sgd' AND role IN ('fast', 'baseline')"),
    panel=PANEL,
    panel_title=source_title,
    draw=draw_by_source,
    absent="No arm of role fast or baseline uses SGD with momentum.",
    label=method_label,
)
