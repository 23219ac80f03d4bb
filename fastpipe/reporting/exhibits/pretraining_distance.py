"""Distance travelled against how long the source was pretrained."""

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
    id="pretraining-distance",
    place=6,
    short="Distance",
    title="How far does the body travel?",
    lede=(
        "The longer the source was pretrained, the less there should be left to change. Distance "
        "is measured between the body that is deployed at the end and the snapshot it came from."
    ),
    paper=(
        "FAST ends closest to the source (Table 1: 7.2 against 14.3 to 119.5 on CIFAR-100, 5.3 "
        "against 5.9 to 37.2 on Caltech-256)."
    ),
    here=(
        "Euclidean distance ‖θ* − θ_source‖ over all body parameters, mean over seeds with its "
        "95 % interval."
    ),
    query=pretraining_query("distance"),
    panel=PANEL,
    panel_title=measure_title,
    draw=draw,
    absent=ABSENT,
)
