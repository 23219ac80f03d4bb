"""SQL of variants: recipes of a grid with their errors, and the best of them.

What is shown of the variants that validation prefers is their test error. Effective learning rate
η′ = η/(1 − m) and effective weight decay λ′ = λ/η are those of Li et al. (ICLR 2020, section 3.3).
"""

from collections.abc import Sequence

from fastpipe.reporting.grids import OWN_GRID, PLACE, best
from fastpipe.reporting.recipes import equal_but
from fastpipe.reporting.tables import Row

__all__ = ["IN_ORDER", "NEAR_DEFAULT", "PANEL", "VARIANTS", "best_by", "by_place", "start_title"]

VARIANTS = f"""{OWN_GRID},
variants AS (
    SELECT {PLACE}, setting_source, source_place, target_place, recipe,
        if(scratch, 'scratch', 'fine-tuned') AS start,
        min(place) FILTER (is_default) AS default_place, list(seed) AS own_seeds,
        elr, alpha AS rate, momentum, "lambda" AS decay, effective_decay,
        count(final_top1) AS seeds, round(avg(val_top1), 9) AS val_top1,
        avg(1 - final_top1) AS error, half_width95(1 - final_top1) AS half_width
    FROM grid
    GROUP BY ALL
    HAVING isfinite(error)
)"""
"""`variants`: one row for each recipe on each pair of a study, means over seeds."""

_OTHERS = equal_but("alpha", "beta", "momentum", "weight_decay", "effective_weight_decay")

NEAR_DEFAULT = f"""{VARIANTS},
others AS (
    SELECT recipe, {_OTHERS} AS rest
    FROM recipes
),
defaults AS (
    SELECT study, setting_source, target, rest, rate AS default_rate,
        momentum AS default_momentum, decay AS default_decay
    FROM variants JOIN others USING (recipe)
    WHERE default_place IS NOT NULL
    QUALIFY 1 = row_number() OVER (
        PARTITION BY study, setting_source, target ORDER BY default_place, recipe)
),
near AS (
    SELECT variants.*, default_rate, default_momentum, default_decay,
        source_place = min(source_place) OVER (PARTITION BY study) AS of_first_source
    FROM variants JOIN others USING (recipe)
    JOIN defaults USING (study, setting_source, target, rest)
    WHERE start = 'fine-tuned' AND momentum IN (default_momentum, 0)
)"""
"""`near`: the variants that differ from the default, the arm with role `baseline`, in learning
rate, momentum (its own or none) and weight decay alone."""

PANEL = ("start", "setting_source")

IN_ORDER = "study, start, source_place, target_place"


def best_by(field: str) -> str:
    """`best`: of each pair, the variant with the best mean validation accuracy at each value.

    Args:
        field: a column of `grid`, or several with commas.

    Its column `chosen` says whether it is the best of its pair as a whole.
    """
    same = f"{PLACE}, recipe"
    return f"""{VARIANTS},
        {best("at_each", field)},
        {best("whole")},
        best AS (
            SELECT variants.*, ({same}) IN (SELECT ({same}) FROM whole) AS chosen
            FROM variants SEMI JOIN at_each USING ({same})
        )"""


def start_title(row: Row) -> str:
    """Where the runs of a panel start."""
    if row["start"] == "scratch":
        return f"from random weights (the network of {row['setting_source']})"
    return f"from {row['setting_source']}"


def by_place(rows: Sequence[Row]) -> list[str]:
    """Targets in the order of their similarity."""
    return [target for _, target in sorted({(row["target_place"], row["target"]) for row in rows})]
