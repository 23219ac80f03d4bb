"""SQL of the targets that are similar to a source, and of those that are not."""

__all__ = ["SIDES", "SIDE_MEANS"]

SIDES = """
    sides AS (
        SELECT study, source, epoch, target, similarity,
            CASE sign(similarity - median(similarity) OVER own)
                WHEN 1 THEN 'similar' WHEN -1 THEN 'dissimilar' END AS side
        FROM (SELECT DISTINCT study, source, epoch, target FROM grid WHERE NOT scratch)
        JOIN similarity USING (source, epoch, target)
        WINDOW own AS (PARTITION BY study, source, epoch)
    )
"""
"""`sides` (after `TRIED`): whether a target is more or less similar to the source than the median
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
"""`side_means` (after `TRIED` and a table `differences` of study, source, epoch, target, what,
seed, value): each seed's mean difference over the similar targets, and over the dissimilar."""
