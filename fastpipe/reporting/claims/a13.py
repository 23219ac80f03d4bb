"""A13: after one step the head is the batch's class means (FAST, equation 20)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import COMPARED, NEAR_ZERO_HEAD
from fastpipe.reporting.statistics import ExactCheck

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A13",
    paper="FAST",
    section="§4.2, eq. 20",
    title="One step turns a head near zero into a classifier by class means",
    says=(
        "After one balanced step from W = 0, W(1) is proportional to the class means of the "
        "features minus their global mean."
    ),
    measured=(
        "Cosine of W(1) − W(0) and the first batch's class means minus its global mean (features "
        "in training mode), SGD from a head near zero: at least 0.999 in every run"
    ),
    parts=(
        Part(
            statistic=ExactCheck(1.0, 1e-3),
            unit="deviation",
            query=f"""
                WITH {COMPARED}
                SELECT study, source, epoch, target, seed, arm || ': cosine' AS contrast,
                    prototype_cosine AS value
                FROM compared
                WHERE {NEAR_ZERO_HEAD} AND optimiser = 'sgd' AND alpha > 0
                ORDER BY study, source, epoch, target, position, seed
            """,
        ),
    ),
    exhibits=("final-table",),
)
