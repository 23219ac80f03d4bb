"""ADP of FAST with either form of momentum (FAST, Algorithms 1 and 2)."""

from fastpipe.reporting.drawing.adp import draw_adp
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.queries import bands, chosen

__all__ = ["EXHIBIT"]

_EITHER_FORM = """
    optimiser = 'sgd' AND (momentum_form = 'ema' OR role = 'fast')
    AND EXISTS (
        FROM described AS other
        WHERE other.momentum_form = 'ema' AND other.optimiser = 'sgd'
            AND (other.study, other.setting_source, other.target)
                = (described.study, described.setting_source, described.target))
"""

EXHIBIT = Exhibit(
    id="momentum-form",
    short="Momentum",
    title="Does the form of momentum matter?",
    lede=(
        "The algorithms as printed average gradients, V ← M V + (1 − M) g; common software sums "
        "them, V ← M V + g, which makes the same rate 1 / (1 − M) times as large in the long run."
    ),
    paper=(
        "Algorithms 1 and 2 print the averaging form; no figure compares the two. The experiments "
        "most likely used the summing one."
    ),
    here="ADP of FAST in either form, mean over seeds with its 95 % interval.",
    query=f"""
        WITH {chosen(_EITHER_FORM)}
        {bands("adp")}
        ORDER BY study, setting_source, target, position, step
    """,
    panel=("setting_source", "target"),
    draw=draw_adp,
    absent="No arm uses the averaging form of momentum.",
    place=8,
)
