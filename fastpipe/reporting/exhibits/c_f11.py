"""Learning curves by augmentation, most and least similar target (Li et al. 2020, Fig. 11)."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.learning import HOW, draw_curves
from fastpipe.reporting.drawing.policies import ABSENT, PANEL, policy_curves, policy_title

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="C-F11",
    short="Augmentation, extremes",
    title="Does strong augmentation overfit a similar target?",
    lede=(
        "The stronger the policy, the slower the training loss falls. What counts is below: "
        "whether its validation error ends lower, with momentum and without."
    ),
    paper=(
        "Fig. 11: Dogs (the most similar), Aircrafts and Flowers from ImageNet, η = 0.01: with "
        "momentum 0.9, random resized crops overfit Dogs and help Aircrafts and Flowers; without "
        "momentum they do well on Dogs, too."
    ),
    here=(
        "The targets most and least similar to the source, at the smallest learning rate that all "
        "policies share. " + HOW
    ),
    query=policy_curves(
        "(study, source, epoch, target) IN "
        "(SELECT (study, source, epoch, target) FROM ends WHERE at_end)"
    ),
    panel=PANEL,
    panel_title=policy_title,
    draw=draw_curves,
    absent=ABSENT,
    colour="line",
)
