"""SQL that the claims on hyperparameters share: grids of settings, and what is chosen from them.

Settings are chosen by validation accuracy (`val_top1`) alone; test accuracy (`final_top1`) is only
read off afterwards. Recipes are chosen by their fields and the roles of their arms, never by label.
A study may use its own arms and those of the studies that it includes.
"""

__all__ = ["BEST_ELR", "DEFAULTS", "GRID", "PLACE", "SIDES", "SIDE_MEANS", "TUNED", "best"]

PLACE = "study, source, epoch, target, scratch"
"""What is tuned: fine-tuning from a snapshot to a target, or training from scratch on it."""

GRID = """
    reach AS (
        SELECT name AS study, unnest(list_append(coalesce(includes, []), name)) AS own
        FROM studies
    ),
    last AS (
        SELECT reach.study, source, target, max(epoch) AS last_epoch
        FROM reach JOIN arms ON arms.study = reach.own
        WHERE role <> 'scratch' GROUP BY ALL
    ),
    listed AS (
        SELECT reach.study, arms.* EXCLUDE (study, seeds), unnest(arms.seeds) AS seed
        FROM reach JOIN arms ON arms.study = reach.own
    ),
    placed AS (
        SELECT study, source, epoch, target, role = 'scratch' AS scratch, recipe, seed,
            bool_or(role = 'baseline') AS baseline, min(position) AS position
        FROM listed
        LEFT JOIN last USING (study, source, target)
        WHERE role = 'scratch' OR epoch = last_epoch
        GROUP BY ALL
    ),
    grid AS (
        SELECT placed.*, recipes.* EXCLUDE (recipe) REPLACE (round(elr, 12) AS elr),
            runs.val_top1, runs.final_top1
        FROM placed
        JOIN recipes USING (recipe)
        JOIN runs USING (source, epoch, target, recipe, seed)
        WHERE elr IS NOT NULL
    ),
    tried AS (
        SELECT * EXCLUDE (seed, val_top1, final_top1),
            count(val_top1) AS seeds, round(avg(val_top1), 9) AS val_top1
        FROM grid WHERE val_top1 IS NOT NULL GROUP BY ALL
    )
"""
"""`grid`: runs with the fields of their recipes, those of fine-tuning from the last snapshot of
each source; only recipes with an effective learning rate. `scratch`: trained from random weights.
`tried`: one row for each recipe, with its mean validation accuracy over seeds, no test result."""


def best(name: str, *by: str, among: str = "tried") -> str:
    """A table `name` with the best recipe by validation accuracy for each place and value of `by`.

    `among` is `tried` (one choice for all seeds) or, with `seed` in `by`, `grid` (each seed's own
    choice), or a selection of them. Of equals the smallest ELR, then the smallest λ and momentum.
    """
    return f"""
    {name} AS (
        SELECT * FROM {among}
        QUALIFY row_number() OVER (
            PARTITION BY {", ".join((PLACE, *by))}
            ORDER BY val_top1 DESC NULLS LAST, elr, "lambda", momentum, recipe) = 1
    )
    """


BEST_ELR = f"{GRID}, {best('best_elr')}"
"""`best_elr`: the best recipe of each place, so its best ELR."""

TUNED = f"""
    {BEST_ELR},
    tuned AS (SELECT grid.* FROM grid JOIN best_elr USING ({PLACE}, recipe))
"""
"""`tuned`: the runs of the best recipe of each place, to read off their test accuracy."""

DEFAULTS = f"""
    defaults AS (
        SELECT * FROM grid WHERE scratch OR baseline
        QUALIFY position = min(position) OVER (PARTITION BY {PLACE})
    )
"""
"""`defaults` (after `GRID`): runs at the settings that one would use without tuning. The arm with
role `baseline`; from scratch, for which there is no such role, the first arm of the study."""

SIDES = """
    sides AS (
        SELECT study, source, epoch, target, similarity,
            CASE sign(similarity - median(similarity) OVER own)
                WHEN 1 THEN 'similar' WHEN -1 THEN 'dissimilar' END AS side
        FROM (SELECT DISTINCT study, source, epoch, target FROM tried WHERE NOT scratch)
        JOIN similarity USING (source, epoch, target)
        WINDOW own AS (PARTITION BY study, source, epoch)
    )
"""
"""`sides` (after `GRID`): whether a target is more or less similar to the source than the median
of the study's targets; with an odd number of targets the median itself is on neither side."""

SIDE_MEANS = f"""
    {SIDES},
    named AS (
        SELECT study, source, epoch, side, count(*) AS targets,
            side || ': ' || string_agg(target, ', ' ORDER BY similarity DESC) AS names
        FROM sides WHERE side IS NOT NULL GROUP BY study, source, epoch, side
    ),
    side_means AS (
        SELECT study, source, epoch, side, names, what, seed,
            -- a seed that lacks a target has another mean
            CASE WHEN count(value) = any_value(targets) THEN avg(value) END AS value
        FROM differences
        JOIN sides USING (study, source, epoch, target)
        JOIN named USING (study, source, epoch, side)
        GROUP BY ALL
    )
"""
"""`side_means` (after `GRID` and a table `differences` of study, source, epoch, target, what, seed,
value): for each seed the mean difference over the similar targets, and over the dissimilar."""
