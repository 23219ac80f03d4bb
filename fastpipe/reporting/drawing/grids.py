"""SQL of grids over learning rates, momenta and weight decays: variants, and the best of them.

The best is chosen by validation accuracy, and what is shown of it is its test error: a choice
never looks at test images. Effective learning rate η′ = η/(1 − m) and effective weight decay
λ′ = λ/η are those of Li et al. (ICLR 2020, section 3.3).
"""

from collections.abc import Sequence

from fastpipe.reporting.drawing.text import power
from fastpipe.reporting.numbers import THIN
from fastpipe.reporting.tables import Row

__all__ = [
    "IN_ORDER",
    "NEAR_DEFAULT",
    "PANEL",
    "VARIANTS",
    "best_by",
    "by_place",
    "number",
    "percents",
    "start_title",
]

VARIANTS = """reference AS (
    -- The snapshot to which targets are more or less similar, in all figures of a report.
    SELECT source, max(epoch) AS epoch
    FROM similarity JOIN arms USING (source, epoch, target)
    WHERE role <> 'scratch'
    GROUP BY source ORDER BY min(arms.rowid) LIMIT 1
),
targets AS (
    SELECT target, row_number() OVER (ORDER BY similarity DESC NULLS LAST, first) AS target_place
    FROM (SELECT target, min(rowid) AS first FROM arms GROUP BY target)
    LEFT JOIN (FROM similarity SEMI JOIN reference USING (source, epoch)) USING (target)
),
sources AS (
    SELECT source, min(rowid) AS source_place FROM arms GROUP BY source
),
placed AS (
    -- The recipes of a study on a pair, once each whatever arms share them.
    SELECT study, source, epoch, target, recipe,
        CASE WHEN role = 'scratch' THEN 'scratch' ELSE 'fine-tuned' END AS start,
        min(position) FILTER (role = 'baseline') AS default_place,
        list_distinct(flatten(list(seeds))) AS own_seeds
    FROM arms
    WHERE role = 'scratch' OR EXISTS (
        FROM settings
        WHERE (settings.study, settings.source, settings.epoch, settings.target)
            = (arms.study, arms.source, arms.epoch, arms.target))
    GROUP BY ALL
),
variants AS (
    SELECT placed.study, placed.source AS setting_source, source_place, placed.epoch,
        placed.target, target_place, start, placed.recipe, own_seeds, default_place,
        -- 0.01/(1 − 0.9) is 0.1 once more, and λ/η no longer hangs by the last bit.
        round(elr, 12) AS elr, alpha AS rate, momentum, "lambda" AS decay,
        CASE WHEN alpha > 0 THEN round("lambda" / alpha, 12) END AS effective_decay,
        count(final_top1) AS seeds, round(avg(val_top1), 9) AS val_top1,
        avg(1 - final_top1) AS error, half_width95(1 - final_top1) AS half_width
    FROM placed
    JOIN runs USING (source, epoch, target, recipe)
    JOIN recipes USING (recipe)
    JOIN targets ON targets.target = placed.target
    JOIN sources ON sources.source = placed.source
    WHERE list_contains(own_seeds, runs.seed) AND elr IS NOT NULL AND isfinite(final_top1)
    GROUP BY ALL
)"""
"""`variants`: one row for each variant on each pair of a study, means over seeds."""

_TIES = "elr, decay, momentum, recipe"

NEAR_DEFAULT = f"""{VARIANTS},
others AS (
    SELECT recipe, struct_pack(*COLUMNS(* EXCLUDE (
        recipe, alpha, beta, momentum, weight_decay, effective_weight_decay, elr, "lambda"
    ))) AS rest
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
        field: a column of `variants`, or several with commas.

    Its column `chosen` says whether it is the best of its pair as a whole; of equals, the one with
    the smallest value is.
    """
    pair = "study, setting_source, epoch, start, target"
    return f"""{VARIANTS},
        at_each AS (
            FROM variants
            WHERE val_top1 IS NOT NULL
            QUALIFY 1 = row_number() OVER (
                PARTITION BY {pair}, {field} ORDER BY val_top1 DESC, {_TIES})
        ),
        best AS (
            SELECT *, 1 = row_number() OVER (
                PARTITION BY {pair} ORDER BY val_top1 DESC, {field}, {_TIES}) AS chosen
            FROM at_each
        )"""


def start_title(row: Row) -> str:
    """Where the runs of a panel start."""
    if row["start"] == "scratch":
        return f"from random weights (the network of {row['setting_source']})"
    return f"from {row['setting_source']}"


def number(value: float) -> str:
    """A rate or coefficient without an exponent, three digits: "0.0167", "0.0001"."""
    return f"{value:.3g}" if value == 0 or abs(value) >= 1e-4 else power(value)


def percents(error: float | None, half_width: float | None) -> str:
    """ "17.2 ± 0.4", in percent."""
    if error is None:
        return "–"
    spread = "" if half_width is None else f"{THIN}±{THIN}{100 * half_width:.1f}"
    return f"{100 * error:.1f}{spread}"


def by_place(rows: Sequence[Row]) -> list[str]:
    """Targets in the order of their similarity."""
    return [target for _, target in sorted({(row["target_place"], row["target"]) for row in rows})]
