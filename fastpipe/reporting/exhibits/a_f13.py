"""FAST under each optimiser (FAST, Fig. 13)."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.optimisers import (
    PANEL,
    by_source_query,
    draw_by_source,
    source_title,
)
from fastpipe.reporting.drawing.text import optimiser_label

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="A-F13",
    short="Optimisers",
    title="Does the optimiser matter once the head starts small?",
    lede=(
        "FAST under each optimiser, together. The closer the lines lie, the less depends on the "
        "choice."
    ),
    paper=(
        "Fig. 13: under FAST, SGD with momentum, Nesterov, Adam and RAdam differ little, and Adam "
        "falls somewhat behind SGD in the end ((b) VGG-19, ImageNet to CIFAR-100, 15 seeds; "
        "panel (a) is missing from the copy read)."
    ),
    here="ADP of FAST, mean over seeds with its 95 % interval; a panel for each source.",
    query=by_source_query("role = 'fast'"),
    panel=PANEL,
    panel_title=source_title,
    draw=draw_by_source,
    absent="No arm has the role fast.",
    label=optimiser_label,
)
