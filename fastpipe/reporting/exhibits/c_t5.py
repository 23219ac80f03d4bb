"""Class-average errors of tuned L2 and L2-SP (Li et al. 2020, Table 5)."""

from collections.abc import Sequence

from fastpipe.reporting.drawing.by_target import target_table
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.regularisers import ABSENT, NAMES, TUNED_REGULARISERS
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.drawing.text import number
from fastpipe.reporting.drawing.variants import by_place
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """A row of errors for each regulariser, and a row of its settings below."""
    del arms
    named = [row | {"method": NAMES[row["regulariser"]]} for row in rows]
    errors = target_table(named, [("regulariser", "method")])
    cells, marks = [], {}
    for i, row in enumerate(errors.rows):
        marks |= {(2 * i, j): mark for (own, j), mark in errors.marks.items() if own == i}
        own = {one["target"]: one for one in named if one["method"] == row[0]}
        settings = [_setting(own.get(target)) for target in by_place(rows)]
        cells += [row, [f"{row[0]}: η, {_LETTERS[row[0]]}", *settings]]
    return Table(errors.columns, cells, errors.values, marks)


_LETTERS = {"L2": "λ", "L2-SP": "λ1"}


def _setting(row: Row | None) -> str:
    return "–" if row is None else f"{number(row['alpha'])}, {number(row['lambda'])}"


EXHIBIT = Exhibit(
    id="C-T5",
    short="L2 and L2-SP",
    title="Is it better to be pulled towards the source than towards zero?",
    lede=(
        "L2 pulls weights to the origin, L2-SP to where the source left them. Each with its own "
        "best learning rate and strength, target by target, the most similar on the left."
    ),
    paper=(
        "Table 5 (class-average error, from ImageNet, tuned L2 and L2-SP): Dogs 16.79 and 13.86, "
        "Caltech 14.98 and 14.45, Indoor 23.00 and 21.77, Birds 22.51 and 22.32, Cars 10.10 and "
        "9.59, Flowers 5.70 and 5.28, Aircrafts 13.03 and 13.31: L2-SP is clearly better on "
        "similar targets only."
    ),
    here=(
        "Error averaged over classes, test split, after the last step: mean ± half the width of "
        "the 95 % interval over seeds, in percent; the lower of the two in bold. Settings are "
        "those with the best validation accuracy; λ1 pulls the body, the head's own coefficient "
        "is λ2."
    ),
    query=f"""
        WITH {TUNED_REGULARISERS}
        SELECT study, setting_source, source_place, target, target_place, regulariser, alpha,
            momentum, "lambda", count(balanced_accuracy) AS seeds,
            avg(1 - balanced_accuracy) AS error,
            half_width95(1 - balanced_accuracy) AS half_width
        FROM tuned
        WHERE isfinite(balanced_accuracy)
        GROUP BY ALL
        ORDER BY study, source_place, regulariser, target_place
    """,
    panel=("setting_source",),
    panel_title=lambda row: f"from {row['setting_source']}",
    draw=draw,
    absent=ABSENT,
    layout="rows",
)
