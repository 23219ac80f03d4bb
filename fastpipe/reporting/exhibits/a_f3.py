"""ADP on target and source, by the size of the first head, with Ts = Tt (FAST, Fig. 3)."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.initialisation import (
    ABSENT,
    SAME_TASK,
    SIGMAS,
    both_tasks_query,
    draw_both_tasks,
)
from fastpipe.reporting.drawing.text import init_label

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="A-F3",
    short="Head size, same task",
    title="Does a small first head spare what the body knows?",
    lede=(
        "The source task is learned once more, with a new head. Nothing need change, and yet a "
        "large random head makes the body forget: above, the accuracy of the new head, below, "
        "that of the old one on the same body."
    ),
    paper=(
        "Fig. 3: the smaller σ, the sooner the target is learned and the more of the source is "
        "kept; next to nothing is forgotten as W(0) goes to 0 (ResNet-18 at 128 px, Ts = Tt = "
        "CIFAR-100, 15 seeds)."
    ),
    here=(
        "Mean over seeds with its 95 % interval, one line for each σ of W(0) ~ N(0, σ), at "
        "Fibonacci steps and the last."
    ),
    query=both_tasks_query(f"{SIGMAS} AND {SAME_TASK}"),
    panel=("setting_source", "target"),
    draw=draw_both_tasks,
    absent=ABSENT,
    label=init_label,
)
