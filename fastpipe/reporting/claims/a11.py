"""A11: at step 0 the outputs are uniform (FAST, equations 16 and 19)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import COMPARED, NEAR_ZERO_HEAD
from fastpipe.reporting.statistics import ExactCheck

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A11",
    paper="FAST",
    section="§4.2, eqs 16 and 19",
    title="From a head near zero, the first outputs are the same for every class",
    says="At step 0 the entropy of ŷ is ln N, and the mean of ‖y − ŷ‖² is 1 − 1/N.",
    measured=(
        "On the first batch, before the first update, from a head near zero: entropy minus ln N "
        "and mean ‖y − ŷ‖² minus (1 − 1/N), each within 1e-5 of 0 in every run"
    ),
    parts=(
        Part(
            statistic=ExactCheck(0.0, 1e-5),
            unit="deviation",
            query=f"""
                WITH {COMPARED},
                first AS (
                    SELECT study, source, epoch, target, arm, position, seed,
                        entropy - ln(len(classes)) AS entropy_off,
                        squared_error - (1 - 1 / len(classes)) AS error_off
                    FROM compared
                    JOIN dynamics USING (source, epoch, target, recipe, seed)
                    JOIN datasets ON datasets.dataset = target
                    WHERE step = 1 AND {NEAR_ZERO_HEAD}
                )
                SELECT study, source, epoch, target, seed, position,
                    arm || ': entropy − ln N' AS contrast, entropy_off AS value
                FROM first
                UNION ALL
                SELECT study, source, epoch, target, seed, position,
                    arm || ': ‖y − ŷ‖² − (1 − 1/N)' AS contrast, error_off AS value
                FROM first
                ORDER BY study, source, epoch, target, position, contrast, seed
            """,
        ),
    ),
    exhibits=("dynamics", "final-table"),
)
