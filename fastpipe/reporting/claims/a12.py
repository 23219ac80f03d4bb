"""A12: the body's first steps are as small as the product of both rates (FAST, eqs 13 and 22).

With W(0) near zero no gradient reaches the body at first; W then grows in proportion to α, and the
body moves by β times a gradient in proportion to W. Taken at step 3, the first validated step at
which both have moved, and with plain momentum SGD: Adam's steps do not scale with the gradient.
"""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import COMPARED, NEAR_ZERO_HEAD
from fastpipe.reporting.recipes import equal_but
from fastpipe.reporting.statistics import ExactCheck, Slope

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A12",
    paper="FAST",
    section="§4, eqs 13 and 22",
    title="From a head near zero, the body moves by α × β at first",
    says="∂ℓ/∂a ≈ 0 at step 0, and the early ‖Δθ‖ scales as αβ.",
    measured=(
        "Mean ‖∂ℓ/∂a‖ on the first batch, from a head near zero: within 1e-5 of 0 in every run. "
        "And slope of ln ‖Δθ‖ at step 3 on ln αβ over SGD arms that differ in αβ, for each seed: "
        "within 0.1 of 1"
    ),
    parts=(
        Part(
            statistic=ExactCheck(0.0, 1e-5),
            unit="deviation",
            query=f"""
                WITH {COMPARED}
                SELECT study, source, epoch, target, seed,
                    arm || ': first ‖∂ℓ/∂a‖' AS contrast, feature_gradient AS value
                FROM compared
                JOIN dynamics USING (source, epoch, target, recipe, seed)
                WHERE step = 1 AND {NEAR_ZERO_HEAD}
                ORDER BY study, source, epoch, target, position, seed
            """,
        ),
        Part(
            statistic=Slope(reference=1.0, margin=0.1),
            unit="slope",
            query=f"""
                WITH {COMPARED},
                moved AS (
                    SELECT study, source, epoch, target, seed, recipe,
                        {equal_but("alpha", "beta")} AS family,
                        ln(alpha * beta) AS x, ln(body_update) AS y,
                        count(DISTINCT round(x, 9)) OVER own AS rates,
                        min(recipe) OVER own AS first_recipe
                    FROM compared
                    JOIN dynamics USING (source, epoch, target, recipe, seed)
                    WHERE step = 3 AND {NEAR_ZERO_HEAD} AND alpha * beta > 0 AND body_update > 0
                        AND optimiser = 'sgd' AND momentum_form = 'torch' AND warmup = 'none'
                        AND weight_decay = 0
                    WINDOW own AS (PARTITION BY study, source, epoch, target, family)
                )
                SELECT study, source, epoch, target, seed, x, y,
                    'ln ‖Δθ‖ against ln αβ, ' || rates || ' products αβ' || CASE
                        -- families of arms that differ in more than their rates
                        WHEN count(DISTINCT first_recipe) OVER (
                            PARTITION BY study, source, epoch, target) > 1
                        THEN ', from ' || first_recipe ELSE '' END AS contrast
                FROM moved
                WHERE rates > 1
                ORDER BY study, source, epoch, target, contrast, seed, x
            """,
        ),
    ),
    exhibits=("dynamics", "final-table"),
)
