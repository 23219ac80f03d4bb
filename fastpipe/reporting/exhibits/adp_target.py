"""ADP on the target against step (FAST, Figs 8, 10 and 14)."""

from fastpipe.reporting.drawing.adp import draw_adp
from fastpipe.reporting.drawing.exhibit import Exhibit

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="adp-target",
    place=1,
    short="Learning speed",
    title="How quickly is the new task learned?",
    lede=(
        "Suppose training is stopped at some step and the best model so far, by validation, is "
        "handed over. Its test accuracy is the anytime deployment performance (ADP). Curves that "
        "rise further to the left learn with less work."
    ),
    paper=(
        "FAST is above baselines of every learning rate at nearly all steps: a large rate helps "
        "a baseline early and hurts it later, a small one the reverse (Figs 10 and 14: "
        "ResNeXt-101, DenseNet-201 and VGG-19 on CIFAR-100 and Caltech-256, 15 seeds)."
    ),
    here="Mean over seeds with its 95 % interval, at Fibonacci steps and the last.",
    query="""
        SELECT study, setting_source, setting_epoch, target, arm, step, seeds, mean, half_width
        FROM adp_bands
        ORDER BY study, setting_source, target, position, step
    """,
    panel=("setting_source", "target"),
    draw=draw_adp,
    absent="No deployed state has been scored.",
)
