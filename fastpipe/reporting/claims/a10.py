"""A10: FAST's final error is no worse (FAST, section 6.7)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import COMPARED
from fastpipe.reporting.statistics import NonInferiority

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A10",
    paper="FAST",
    section="§6.7, Table 1",
    title="In the end, FAST errs no more than the baselines",
    says="“using FAST would not have an adverse effect on the convergence performance”",
    measured=(
        "Test error of the model deployed at the end, top-1 and top-5: baseline minus FAST, for "
        "every baseline with the same optimiser; FAST may be at most 1 point worse"
    ),
    parts=(
        Part(
            statistic=NonInferiority(margin=0.01),
            unit="points",
            query=f"""
                WITH {COMPARED},
                errors AS (
                    SELECT *, 'top-1' AS score, 1 - final_top1 AS error FROM compared
                    UNION ALL BY NAME
                    -- five classes or fewer have no top-5
                    SELECT *, 'top-5' AS score, 1 - final_top5 AS error FROM compared
                    WHERE final_top5 IS NOT NULL
                )
                SELECT study, source, epoch, target, seed,
                    score || ': ' || b.arm || ' − ' || f.arm AS contrast,
                    b.error - f.error AS value
                FROM errors AS f
                JOIN errors AS b
                    USING (study, source, epoch, target, seed, optimiser, momentum_form, score)
                WHERE f.role = 'fast' AND b.role = 'baseline'
                ORDER BY study, source, epoch, target, score, f.position, b.position, contrast, seed
            """,
        ),
    ),
    exhibits=("A-T1", "A-F14", "final-table"),
)
