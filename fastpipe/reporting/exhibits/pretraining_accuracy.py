"""Accuracy on the target against how long the source was pretrained."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.pretraining import (
    ABSENT,
    PANEL,
    draw,
    measure_title,
    pretraining_query,
)

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="pretraining-accuracy",
    place=5,
    short="Pretraining",
    title="How much pretraining does it take?",
    lede=(
        "The same recipes, started from snapshots of the source taken earlier or later in its "
        "own training; 0 epochs is the random initialisation."
    ),
    paper=(
        "Liu et al., “Towards understanding the transferability of deep representations” "
        "(Fig. 9: ResNet-50, Food-101 to CUB-200): the accuracy reached on the target rises "
        "with pretraining at first, then declines. The FAST paper always pretrains to the end."
    ),
    here=(
        "Accuracy at any time (ADP-AUC) and at the last step, mean over seeds with its 95 % "
        "interval. The horizontal axis is spread out on the left to separate early snapshots."
    ),
    query=pretraining_query("auc, top1"),
    panel=PANEL,
    panel_title=measure_title,
    draw=draw,
    absent=ABSENT,
)
