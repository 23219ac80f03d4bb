"""Growth of the head's norm, by the size of the first head (FAST, Fig. 4)."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.initialisation import ABSENT, SAME_TASK, SIGMAS
from fastpipe.reporting.drawing.norm import draw_norms
from fastpipe.reporting.drawing.queries import chosen, norms
from fastpipe.reporting.drawing.text import init_label

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="A-F4",
    short="Head norm",
    title="How does the head grow from its first size?",
    lede=(
        "While ‖W‖ hardly changes, the head is mostly noise, and the gradient that it passes on "
        "pushes the body about to no purpose."
    ),
    paper=(
        "Fig. 4: heads from a large σ keep ‖W‖ for long, those from a small σ grow within a few "
        "steps (the runs of Fig. 3)."
    ),
    here=(
        "log ‖W‖ (Frobenius) after each step, mean over seeds with its 95 % interval, where "
        "source and target task are the same; late steps are thinned to about 20 per factor of e. "
        "Exactly 0 is drawn a decade below the rest."
    ),
    query=f"""
        WITH {chosen(f"{SIGMAS} AND {SAME_TASK}")}
        {norms()}
        ORDER BY study, setting_source, target, position, step
    """,
    panel=("setting_source", "target"),
    draw=draw_norms,
    absent=ABSENT,
    label=init_label,
)
