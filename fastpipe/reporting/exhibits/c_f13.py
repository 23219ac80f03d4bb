"""Learning curves from scratch over learning rate and weight decay (Li et al. 2020, Fig. 13)."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.learning import HOW, curves_query, draw_curves
from fastpipe.reporting.drawing.text import number

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="C-F13",
    short="From scratch",
    title="Which settings does training from scratch need?",
    lede=(
        "Random weights instead of pretrained ones, a line for each learning rate and a panel for "
        "each weight decay. Where the same line is lowest in all panels, one setting serves all "
        "targets."
    ),
    paper=(
        "Fig. 13: seven targets, 600 epochs, η = 0.1, 0.2 and 0.5, λ = 0.0001 and 0.0005, n = 256, "
        "m = 0.9 (ResNet-101): λ = 0.0005 is consistently better."
    ),
    here=f"Targets in the order of their similarity to the first source. {HOW}",
    query=curves_query(
        "'η = ' || format('{:g}', alpha)",
        "alpha",
        '"lambda"',
        where="scratch AND elr IS NOT NULL",
    ),
    panel=("setting_source", "target", "lambda"),
    panel_title=lambda row: f"{row['target']}, λ = {number(row['lambda'])}",
    draw=draw_curves,
    absent="No arm has the role scratch.",
    colour="line",
)
