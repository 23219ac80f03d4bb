"""Errors by augmentation, momentum and learning rate (Li et al. 2020, Table 6)."""

from collections.abc import Sequence

from fastpipe.reporting.drawing.by_target import target_table
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.policies import ABSENT, PLACE, POLICY
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.drawing.text import number
from fastpipe.reporting.grids import TRIED
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """A row for each policy, learning rate and momentum."""
    del arms
    named = [row | {"m": number(row["momentum"]), "η": number(row["alpha"])} for row in rows]
    return target_table(named, [("images", "policy"), ("m", "m"), ("η", "η")])


EXHIBIT = Exhibit(
    id="C-T6",
    short="Augmentation",
    title="How much augmentation does a target need?",
    lede=(
        "Three ways to show training images, with and without momentum. The most similar target "
        "is on the left: look whether what is best there is also best on the right."
    ),
    paper=(
        "Table 6 (ResNet-101 from ImageNet, n = 256, λ = 0.0001; Dogs, Caltech, Indoor, Birds, "
        "Cars, Flowers, Aircrafts). Resized crop, m = 0.9, η = 0.01: 17.20, 14.85, 23.76, 18.10, "
        "9.10, 3.12, 17.55; m = 0: 11.00, 12.11, 21.14, 17.41, 11.06, 5.48, 20.58. Random crop, "
        "m = 0.9, η = 0.01: 11.99, 12.42, 23.39, 20.31, 17.77, 5.63, 21.72; m = 0: 11.35, 12.89, "
        "25.19, 22.11, 23.87, 7.76, 29.04; m = 0.9, η = 0.05: 16.85, 14.80, 23.46, 18.81, 13.70, "
        "4.85, 17.64; m = 0: 11.79, 12.52, 23.24, 20.69, 20.00, 7.06, 23.43."
    ),
    here=(
        "Error on the test split after the last step: mean ± half the width of the 95 % interval "
        "over seeds, in percent; the lowest of each target in bold. Nothing is chosen: every "
        "setting that the study tried is here."
    ),
    query=f"""
        WITH {TRIED},
        policies AS (
            SELECT *, {POLICY} AS policy, {PLACE} AS policy_place FROM tried WHERE NOT scratch
        ),
        several AS (
            SELECT study FROM policies GROUP BY study HAVING count(DISTINCT policy) > 1
        )
        SELECT study, setting_source, source_place, target, target_place, policy, policy_place,
            momentum, alpha, count(final_top1) AS seeds, avg(1 - final_top1) AS error,
            half_width95(1 - final_top1) AS half_width
        FROM policies SEMI JOIN several USING (study)
        WHERE isfinite(final_top1) AND elr IS NOT NULL
        GROUP BY ALL
        ORDER BY study, source_place, policy_place, alpha, momentum DESC, target_place
    """,
    panel=("setting_source",),
    panel_title=lambda row: f"from {row['setting_source']}",
    draw=draw,
    absent=ABSENT,
    layout="rows",
)
