"""A3: a large head keeps its norm for long, a small one grows at once (FAST, section 6.2)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import SIGMA_ENDS
from fastpipe.reporting.statistics import Ratio

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A3",
    paper="FAST",
    section="§6.2, Fig. 4",
    title="A head that starts large stays as it is for long; a small one grows at once",
    says=(
        "“… the adverse effect of retaining the condition stated in Equation (14) for a long time "
        "and its connection with curves in Figure 4”"
    ),
    measured=(
        "Steps until ‖W‖ (Frobenius norm) differs by 10 % from its value at step 0, one more than "
        "the last step if it never does: largest over smallest standard deviation σ of W(0), all "
        "else equal"
    ),
    parts=(
        Part(
            statistic=Ratio(),
            unit="ratio",
            query=f"""
                WITH {SIGMA_ENDS},
                starts AS (
                    SELECT source, epoch, target, recipe, seed, head_norm AS start
                    FROM steps WHERE step = 0
                ),
                changes AS (
                    SELECT source, epoch, target, recipe, seed,
                        coalesce(
                            min(step) FILTER (abs(head_norm - start) >= 0.1 * start),
                            max(step) + 1) AS step,
                        count(*) FILTER (abs(head_norm - start) >= 0.1 * start) = 0 AS never
                    FROM steps JOIN starts USING (source, epoch, target, recipe, seed)
                    WHERE step >= 1
                    GROUP BY ALL
                )
                SELECT s.study, s.source, s.epoch, s.target, s.seed,
                    large_arm || ' / ' || small_arm || CASE WHEN bool_or(large.never) OVER (
                        PARTITION BY s.study, s.source, s.epoch, s.target, s.large, s.small
                    ) THEN ', at least' ELSE '' END AS contrast,
                    large.step / small.step AS value
                FROM sigma_ends AS s
                LEFT JOIN changes AS small
                    ON (small.source, small.epoch, small.target, small.recipe, small.seed)
                        = (s.source, s.epoch, s.target, s.small, s.seed)
                LEFT JOIN changes AS large
                    ON (large.source, large.epoch, large.target, large.recipe, large.seed)
                        = (s.source, s.epoch, s.target, s.large, s.seed)
                ORDER BY s.study, s.source, s.epoch, s.target, position, contrast, s.seed
            """,
        ),
    ),
    exhibits=("A-F4", "head-norm"),
)
