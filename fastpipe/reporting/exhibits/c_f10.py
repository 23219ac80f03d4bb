"""Error by the momentum of BatchNorm's statistics (Li et al. 2020, Fig. 10)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.settings import draw_by_momentum
from fastpipe.reporting.grids import ORDER, TRIED
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], lines: Sequence[str]) -> alt.LayerChart:
    """A line for each target."""
    return draw_by_momentum(
        rows, lines, "weight of BatchNorm’s old statistics (log scale of 1 / (1 − it))"
    )


EXHIBIT = Exhibit(
    id="C-F10",
    short="BatchNorm’s momentum",
    title="Does BatchNorm’s momentum matter?",
    lede=(
        "Running statistics forget the source at a speed of their own: 0 keeps the last batch's "
        "only, 0.99 remembers a hundred. A flat line says that it does not matter."
    ),
    paper=(
        "Fig. 10: seven targets from ImageNet at their best hyperparameters, 0, 0.9, 0.95 and "
        "0.99: 0.99 is slightly better on some targets; there is no significant difference from "
        "0.9 on."
    ),
    here=(
        "Error on the test split after the last step, mean over seeds with its 95 % interval, "
        "everything else at the study's setting; targets in the order of their similarity. The "
        "number is 1 minus PyTorch's."
    ),
    query=f"""
        WITH {TRIED},
        several AS (
            SELECT study, source, epoch, target FROM tried
            WHERE bn_momentum IS NOT NULL AND NOT scratch
            GROUP BY ALL HAVING count(DISTINCT bn_momentum) > 1
        )
        SELECT study, setting_source, source_place, target_place, target AS line,
            target_place AS colour_place, bn_momentum AS setting,
            count(final_top1) AS seeds, avg(1 - final_top1) AS mean,
            half_width95(1 - final_top1) AS half_width
        FROM tried SEMI JOIN several USING (study, source, epoch, target)
        WHERE bn_momentum < 1 AND NOT scratch AND isfinite(final_top1)
        GROUP BY ALL
        ORDER BY {ORDER}, setting
    """,
    panel=("setting_source",),
    panel_title=lambda row: f"from {row['setting_source']}",
    draw=draw,
    absent="No arms differ in the momentum of BatchNorm.",
    colour="line",
    layout="rows",
)
