"""Learning curves with and without momentum, other targets (Li et al., ICLR 2020, Fig. 9)."""

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.rate_curves import (
    ABSENT,
    PANEL,
    curves_title,
    draw_learning_curves,
    learning_curves_query,
)

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    id="C-F9",
    short="More learning curves",
    title="How do the other targets learn at each rate?",
    lede=(
        "From the second most similar target down to the least: which rate ends lowest, with "
        "momentum on the left and without on the right."
    ),
    paper=(
        "Fig. 9: on Caltech, Indoor, Birds, Cars, Aircrafts and Flowers, too, the best rate is "
        "about ten times as large without momentum. Errors with m = 0.9: Indoor 27.29 at η = 0.1, "
        "23.76 at 0.01, 21.29 at 0.0005; Cars 8.46 at 0.1, 11.02 at 0.001, 52.95 at 0.0001."
    ),
    here=(
        "Mean validation error over seeds with its 95 % interval, at the default weight decay, "
        "from the first source. The two panels of a target have the same scale."
    ),
    query=learning_curves_query("target_place > 1"),
    panel=PANEL,
    panel_title=curves_title,
    draw=draw_learning_curves,
    absent=ABSENT,
    colour="line",
)
