"""Learning curves by augmentation, on the other targets (Li et al. 2020, Fig. 12)."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.learning import HOW, draw_curves
from fastpipe.reporting.drawing.policies import ABSENT, PANEL, policy_curves, policy_title

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="C-F12",
    short="Augmentation, others",
    title="How does augmentation turn out on the targets in between?",
    lede=(
        "The figure before, continued: the targets between the most and the least similar one, in "
        "the order of their similarity."
    ),
    paper=(
        "Fig. 12: Caltech, Indoor, Birds and Cars, η = 0.01, λ = 0.0001, n = 256: much the same; "
        "the overfitting of strong augmentation on Caltech disappears without momentum."
    ),
    here=(
        "All targets but the most and the least similar; all, where no similarity is known. The "
        "smallest learning rate that all policies share. " + HOW
    ),
    query=policy_curves(
        "(study, source, epoch, target) NOT IN "
        "(SELECT (study, source, epoch, target) FROM ends WHERE at_end)"
    ),
    panel=PANEL,
    panel_title=policy_title,
    draw=draw_curves,
    absent=ABSENT,
    colour="line",
)
