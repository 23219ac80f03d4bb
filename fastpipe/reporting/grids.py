"""SQL of grids of hyperparameters: what was tried on each target, and what is best by validation.

Claims, exhibits and advice choose with it alone. A choice looks at validation accuracy (`val_top1`,
mean over seeds) and never at test images; test results are only read off afterwards. Recipes are
chosen by their fields and the roles of their arms, never by label.
"""

__all__ = ["DEFAULTS", "ORDER", "OWN_GRID", "OWN_NETWORK", "PLACE", "TRIED", "TUNED", "best"]

PLACE = "study, source, epoch, target, scratch"
"""What is tuned: fine-tuning from a snapshot to a target, or training from scratch on it."""

ORDER = "study, source_place, target_place"
"""Sources as declared, the targets of each from the most similar to the first source."""


OWN_NETWORK = """
    QUALIFY row_number() OVER (
        PARTITION BY study, fine.source, fine.epoch, target, seed
        ORDER BY scratch.source <> fine.source, scratch.source) = 1
"""
"""Ends a join of `fine` (fine-tuned) with `scratch`: of several networks trained from scratch that
of the source, else the first."""


def _tried(whose: str) -> str:
    return f"""reach AS (
        SELECT name AS study, unnest({whose}) AS own FROM studies
    ),
    latest AS (
        SELECT reach.study, source, target, max(epoch) AS epoch
        FROM reach JOIN arms ON arms.study = own
        WHERE role <> 'scratch' GROUP BY ALL
    ),
    first_snapshot AS (
        SELECT source, max(epoch) AS epoch
        FROM similarity JOIN arms USING (source, epoch, target)
        WHERE role <> 'scratch' GROUP BY source ORDER BY min(arms.rowid) LIMIT 1
    ),
    targets AS (
        -- Most similar to the first source first, in all figures of a report.
        SELECT target, row_number() OVER (ORDER BY similarity DESC NULLS LAST, first)
            AS target_place
        FROM (SELECT target, min(rowid) AS first FROM arms GROUP BY target)
        LEFT JOIN (FROM similarity SEMI JOIN first_snapshot USING (source, epoch)) USING (target)
    ),
    sources AS (
        SELECT source, min(rowid) AS source_place FROM arms GROUP BY source
    ),
    placed AS (
        -- A recipe on a pair, once whatever arms share it.
        SELECT reach.study, arms.source, arms.epoch, arms.target, role = 'scratch' AS scratch,
            recipe, seed, bool_or(role = 'baseline') AS is_default, min(arms.rowid) AS place,
            arg_min(arm, arms.rowid) AS arm
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
            -- 0.01/(1 − 0.9) is 0.1 once more, and λ/η no longer hangs by the last bit.
            recipes.* EXCLUDE (recipe) REPLACE (round(elr, 12) AS elr),
            CASE WHEN alpha > 0 THEN round("lambda" / alpha, 12) END AS effective_decay,
            val_top1, final_top1, balanced_accuracy
        FROM placed
        JOIN recipes USING (recipe)
        JOIN runs USING (source, epoch, target, recipe, seed)
        JOIN targets USING (target)
        JOIN sources USING (source)
    ),
    grid AS (FROM tried WHERE elr IS NOT NULL)"""


TRIED = _tried("list_append(coalesce(includes, []), name)")
"""`tried`: the runs of each study with the fields of their recipes, those of fine-tuning from the
last snapshot of each source; a study has its own arms and those of the studies that it includes.

`scratch`: trained from random weights; `place`: that of the first of its arms, `arm` its label;
`target_place`: by similarity; `effective_decay`: λ′ = λ/η. `grid`: those with an effective
learning rate η/(1 − m)."""

OWN_GRID = _tried("[name]")
"""As `TRIED`, with the arms that each study declares itself."""


def best(name: str, *by: str, among: str = "grid", where: str = "true") -> str:
    """A table `name` with the best recipe by validation accuracy for each place and value of `by`.

    With `seed` in `by`, each seed chooses for itself. Of equals the smallest effective learning
    rate, then the smallest λ and momentum.

    Args:
        name: of the table; its columns are those of `PLACE`, `by`, the recipe and its rates.
        by: columns of `among`.
        among: table of runs: `grid`, `tried`, or a selection of them.
        where: a condition on these runs.
    """
    key = ", ".join((PLACE, *by))
    rates = [rate for rate in ("elr", '"lambda"', "momentum", "alpha") if rate not in by]
    columns = ", ".join((key, "recipe", *rates))
    return f"""{name} AS (
        SELECT {columns}
        FROM {among}
        WHERE val_top1 IS NOT NULL AND {where}
        GROUP BY {columns}
        QUALIFY 1 = row_number() OVER (
            PARTITION BY {key}
            ORDER BY round(avg(val_top1), 9) DESC, elr, "lambda", momentum, recipe)
    )"""


TUNED = f"""{best("best_elr")},
    tuned AS (FROM grid SEMI JOIN best_elr USING ({PLACE}, recipe))"""
"""`best_elr` (after `TRIED`): the best recipe of each place, so its best effective learning rate.
`tuned`: its runs, to read off their test accuracy."""

DEFAULTS = f"""defaults AS (
        FROM grid WHERE scratch OR is_default
        QUALIFY place = min(place) OVER (PARTITION BY {PLACE})
    )"""
"""`defaults` (after `TRIED`): runs at the settings that one would use without tuning. The arm with
role `baseline`; from scratch, for which there is no such role, the first arm of the study."""
