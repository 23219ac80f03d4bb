"""ADP with a head that never learns against one that does (FAST, Fig. 6)."""

from fastpipe.reporting.drawing.adp import draw_adp
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.queries import bands, chosen
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

_SAME_BUT_FOR_ALPHA = """
    warmup = 'none' AND role <> 'scratch' AND alpha IN (0, beta)
    AND EXISTS (
        FROM described AS frozen
        WHERE frozen.alpha = 0 AND frozen.role <> 'scratch'
            AND (frozen.study, frozen.setting_source, frozen.target, frozen.head_init,
                    frozen.head_sigma, frozen.beta, frozen.optimiser, frozen.momentum_form)
                = (described.study, described.setting_source, described.target,
                    described.head_init, described.head_sigma, described.beta,
                    described.optimiser, described.momentum_form))
"""


def frozen_or_not(row: Row) -> str:
    """As in the paper's legend."""
    return "α = 0" if row["alpha"] == 0 else "α = β"


EXHIBIT = Exhibit(
    id="A-F6",
    short="Frozen random head",
    title="What does a random head cost that stays random?",
    lede=(
        "With α = 0 the head keeps its first, random weights, and only the body can adapt to it. "
        "The gap between the lines is what a learning head is worth."
    ),
    paper=(
        "Fig. 6: with α = 0 convergence is far slower than with α = β (ResNet-18, ImageNet to "
        "CIFAR-100, W(0) ~ N(0, 10⁻²), 15 seeds)."
    ),
    here=(
        "Mean over seeds with its 95 % interval; both heads start alike, and the body's rate β "
        "is the same."
    ),
    query=f"""
        WITH {chosen(_SAME_BUT_FOR_ALPHA)}
        {bands("adp")}
        ORDER BY study, setting_source, target, position, step
    """,
    panel=("setting_source", "target"),
    draw=draw_adp,
    absent="No arm freezes its head (α = 0).",
    label=frozen_or_not,
)
