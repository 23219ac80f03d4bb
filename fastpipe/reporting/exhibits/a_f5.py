"""ADP on target and source, by the size of the first head, with Ts ≠ Tt (FAST, Fig. 5)."""

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
    id="A-F5",
    short="Head size, other task",
    title="Does a small first head also help on a foreign task?",
    lede=(
        "The target has nothing to do with the source. A small head learns it in few steps; how "
        "much of the source is left meanwhile is seen below."
    ),
    paper=(
        "Fig. 5: from a head close to 0, within 50 steps ADP passes 96 % on the target while the "
        "source still has 20 %, where chance is 1 % (ResNet-18 at 128 px, CIFAR-100 to MNIST, 15 "
        "seeds)."
    ),
    here=(
        "Mean over seeds with its 95 % interval, one line for each σ of W(0) ~ N(0, σ), at "
        "Fibonacci steps and the last."
    ),
    query=both_tasks_query(f"{SIGMAS} AND NOT ({SAME_TASK})"),
    panel=("setting_source", "target"),
    draw=draw_both_tasks,
    absent=ABSENT,
    label=init_label,
)
