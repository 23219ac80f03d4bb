"""Learning curves for each momentum (Li et al. 2020, Fig. 7)."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.learning import HOW, curves_query, draw_curves
from fastpipe.reporting.drawing.momenta import MOMENTA, SEVERAL_MOMENTA, momenta_title
from fastpipe.reporting.drawing.text import number

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="C-F7",
    short="Curves by momentum",
    title="How do runs with more or less momentum learn?",
    lede=(
        "The runs behind the errors above: one learning rate, several momenta, a panel for each "
        "batch size and weight decay. A small momentum is also a small effective learning rate "
        "η/(1 − m), so its training loss falls later."
    ),
    paper=(
        "Fig. 7: Birds from ImageNet at η = 0.01, n = 256 and 16, λ = 0.0005, 0.0001 and 0 "
        "(ResNet-101): zero momentum ends with the lowest validation error in 5 of 6 panels."
    ),
    here=HOW,
    query=curves_query(
        "'m = ' || format('{:g}', momentum)",
        "-momentum",
        "batch_size",
        '"lambda"',
        "alpha",
        where=MOMENTA,
        before=f"{SEVERAL_MOMENTA},",
    ),
    panel=("setting_source", "target", "batch_size", "lambda", "alpha"),
    panel_title=lambda row: f"{momenta_title(row)}, λ = {number(row['lambda'])}",
    draw=draw_curves,
    absent="No study tries three momenta at one learning rate.",
    colour="line",
)
