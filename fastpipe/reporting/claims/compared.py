"""SQL that claims share: the runs that are compared, with every field of their recipes.

Claims choose arms by recipe fields and roles, never by label, so they work for any study.
"""

from fastpipe.reporting.recipes import equal_but

__all__ = ["COMPARED", "NEAR_ZERO_HEAD", "SIGMA_ENDS"]

COMPARED = """
    compared AS (
        SELECT
            comparison.study, setting_source AS source, setting_epoch AS epoch, comparison.target,
            comparison.arm, comparison.role, comparison.position, comparison.seed,
            comparison.adp_auc, comparison.final_top1, comparison.final_top5,
            comparison.body_distance, comparison.warmup_end_step, comparison.prototype_cosine,
            recipes.*
        FROM comparison
        JOIN recipes USING (recipe)
        WHERE comparison.role <> 'scratch'
    )
"""
"""Runs at the settings of their studies; `steps` is the recipe's. Scratch runs have no source."""

NEAR_ZERO_HEAD = "(head_init = 'zeros' OR (head_init = 'normal' AND head_sigma <= 1e-6))"
"""W(0) so close to zero that the paper's first-step theory holds."""

SIGMA_ENDS = f"""
    {COMPARED},
    families AS (
        SELECT *, {equal_but("head_sigma")} AS family
        FROM compared WHERE head_init = 'normal'
    ),
    ends AS (
        SELECT study, source, epoch, target, family,
            min(head_sigma) AS smallest, max(head_sigma) AS largest
        FROM families GROUP BY ALL HAVING min(head_sigma) < max(head_sigma)
    ),
    sigma_ends AS (
        SELECT ends.study, ends.source, ends.epoch, ends.target, s.seed, s.position,
            s.recipe AS small, s.arm AS small_arm, s.adp_auc AS small_auc,
            l.recipe AS large, l.arm AS large_arm, l.adp_auc AS large_auc
        FROM ends
        JOIN families AS s USING (study, source, epoch, target, family)
        JOIN families AS l USING (study, source, epoch, target, family, seed)
        WHERE s.head_sigma = smallest AND l.head_sigma = largest
    )
"""
"""Pairs of runs whose recipes are equal in all but σ of the head: the smallest σ, the largest."""
