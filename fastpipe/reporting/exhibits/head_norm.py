"""Norm of the classifier's weights against step (FAST, Figs 4, 8b and 10b)."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.norm import draw_norms
from fastpipe.reporting.drawing.queries import chosen, norms

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="head-norm",
    place=3,
    short="Classifier size",
    title="How large is the classifier?",
    lede=(
        "The gradient that reaches the pretrained body is proportional to the classifier's "
        "weights. A classifier that starts near zero therefore leaves the body alone until it "
        "has itself learned something."
    ),
    paper=(
        "A classifier with large first weights keeps their norm almost unchanged for long; one "
        "that starts near zero grows in step with what it learns (Fig. 4: ResNet-18, CIFAR-100)."
    ),
    here=(
        "Frobenius norm ‖W‖ after each step, mean over seeds with its 95 % interval; late steps "
        "are thinned to about 20 per factor of e. A norm of exactly 0, which "
        "has no place on a log axis, is drawn a decade below the rest."
    ),
    query=f"""
        WITH {chosen("true")}
        {norms()}
        ORDER BY study, setting_source, target, position, step
    """,
    panel=("setting_source", "target"),
    draw=draw_norms,
    absent="No steps have been recorded.",
)
