"""The best error at each effective weight decay (Li et al., ICLR 2020, Fig. 5)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.curves import draw_curves
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.variants import IN_ORDER, PANEL, best_by, start_title
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], targets: Sequence[str]) -> alt.LayerChart:
    """A line for each target."""
    title = "effective weight decay λ/η (log scale, and 0)"
    return draw_curves(rows, targets, field="effective_decay", title=title)


EXHIBIT = Exhibit(
    id="C-F5",
    short="Best weight decay",
    title="Which effective weight decay does a target need?",
    lede=(
        "Weight decay in units of the learning rate, λ′ = λ/η. Each point is the best that a "
        "target reaches at one λ′; the ring marks the one chosen for it."
    ),
    paper=(
        "Fig. 5: the best λ′ is larger for targets similar to the source (Dogs from ImageNet, "
        "Birds from iNaturalist, Indoor from Places) than for dissimilar ones (ResNet-101)."
    ),
    here=(
        "Mean test error over seeds of the variant with the best mean validation accuracy at each "
        "λ′; the ringed one has the best of all. A large λ′ goes with a small learning rate, so "
        "this is partly C-F4 seen from the other side."
    ),
    query=f"""
        WITH {best_by("effective_decay")}
        SELECT *, target_place AS colour_place FROM best
        WHERE effective_decay IS NOT NULL
            AND (SELECT count(DISTINCT decay) FROM variants
                WHERE (study, start, setting_source)
                    = (best.study, best.start, best.setting_source)) > 1
        ORDER BY {IN_ORDER}, effective_decay
    """,
    panel=PANEL,
    panel_title=start_title,
    draw=draw,
    absent="No arms differ in weight decay.",
    colour="target",
)
