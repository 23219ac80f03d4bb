"""SQL of what was tried on each target, and what is best by validation.

A choice looks at validation accuracy (`val_top1`, mean over seeds) and never at test images; test
results are only read off afterwards. A study has its own arms and those of studies it includes.
"""

__all__ = ["ORDER", "TRIED", "best"]

TRIED = """reach AS (
    SELECT name AS study, unnest(list_append(coalesce(includes, []), name)) AS own FROM studies
),
latest AS (
    SELECT reach.study, source, target, max(epoch) AS epoch
    FROM reach JOIN arms ON arms.study = own
    WHERE role <> 'scratch' GROUP BY ALL
),
targets AS (
    -- Most similar to the first source first, in all figures of a report.
    SELECT arms.target,
        row_number() OVER (ORDER BY similarity DESC NULLS LAST, min(arms.rowid)) AS target_place
    FROM arms
    LEFT JOIN (
        FROM similarity
        WHERE (source, epoch) = (
            SELECT (source, max(similarity.epoch))
            FROM similarity JOIN arms USING (source, epoch, target)
            WHERE role <> 'scratch' GROUP BY source ORDER BY min(arms.rowid) LIMIT 1)
    ) AS similarity USING (target)
    GROUP BY arms.target, similarity
),
sources AS (
    SELECT source, min(rowid) AS source_place FROM arms GROUP BY source
),
placed AS (
    -- A recipe on a pair, once whatever arms share it.
    SELECT reach.study, arms.source, arms.epoch, arms.target, role = 'scratch' AS scratch,
        recipe, seed, bool_or(role = 'baseline') AS is_default, min(arms.rowid) AS place
    FROM reach
    JOIN arms ON arms.study = own
    CROSS JOIN unnest(arms.seeds) AS listed(seed)
    LEFT JOIN latest ON (latest.study, latest.source, latest.target, latest.epoch)
        = (reach.study, arms.source, arms.target, arms.epoch)
    WHERE role = 'scratch' OR latest.epoch IS NOT NULL
    GROUP BY ALL
),
tried AS (
    SELECT placed.*, placed.source AS setting_source, source_place, target_place,
        recipes.* EXCLUDE (recipe, steps) REPLACE (round(elr, 12) AS elr),
        val_top1, final_top1, balanced_accuracy, runs.steps
    FROM placed
    JOIN recipes USING (recipe)
    JOIN runs USING (source, epoch, target, recipe, seed)
    JOIN targets USING (target)
    JOIN sources USING (source)
)"""
"""`tried`: the runs that belong to a study, with the fields of their recipes. `scratch`: trained
from random weights; `place`: that of the first of its arms; `target_place`: by similarity."""

ORDER = "study, source_place, target_place"


def best(name: str, *by: str, where: str = "true") -> str:
    """A table `name`: the best recipe for each pair, start, and value of `by`, after `TRIED`.

    Of equals the smallest effective learning rate, then the smallest λ and momentum.
    """
    pair = ", ".join(("study", "source", "epoch", "target", "scratch", *by))
    return f"""{name} AS (
        SELECT {pair}, recipe
        FROM tried
        WHERE val_top1 IS NOT NULL AND {where}
        GROUP BY {pair}, recipe, elr, "lambda", momentum
        QUALIFY 1 = row_number() OVER (
            PARTITION BY {pair}
            ORDER BY round(avg(val_top1), 9) DESC, elr, "lambda", momentum, recipe)
    )"""
