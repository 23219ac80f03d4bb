"""A2: a smaller head initialisation forgets less (FAST, section 6.2)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import SIGMA_ENDS
from fastpipe.reporting.statistics import PairedDifference

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A2",
    paper="FAST",
    section="§6.2, Figs 3 and 5",
    title="A head that starts smaller forgets less of the old task",
    says="“… but also retains more knowledge from the source task.”",
    measured=(
        "Source accuracy of the deployed body under the source's own head, at every deployment "
        "checkpoint from step 1 on: smallest minus largest standard deviation σ of W(0), all else "
        "equal"
    ),
    parts=(
        Part(
            statistic=PairedDifference(),
            unit="points",
            query=f"""
                WITH {SIGMA_ENDS}
                SELECT s.study, s.source, s.epoch, s.target, s.seed,
                    'step ' || small.step || ': ' || small_arm || ' − ' || large_arm AS contrast,
                    small.top1 - large.top1 AS value
                FROM sigma_ends AS s
                JOIN forgetting AS small
                    ON (small.source, small.epoch, small.target, small.recipe, small.seed)
                        = (s.source, s.epoch, s.target, s.small, s.seed)
                JOIN forgetting AS large
                    ON (large.source, large.epoch, large.target, large.recipe, large.seed)
                        = (s.source, s.epoch, s.target, s.large, s.seed)
                    AND large.step = small.step
                WHERE small.step >= 1
                ORDER BY s.study, s.source, s.epoch, s.target, position, large_arm, small.step,
                    s.seed
            """,
        ),
    ),
    exhibits=("A-F3", "A-F5", "adp-source"),
)
