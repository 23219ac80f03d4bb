"""A4: keeping a random head fixed slows convergence (FAST, section 6.3)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import COMPARED
from fastpipe.reporting.recipes import equal_but
from fastpipe.reporting.statistics import PairedDifference

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A4",
    paper="FAST",
    section="§6.3, Fig. 6",
    title="A random head that is kept fixed slows learning down",
    says="“… when the loss landscape deforms …, the convergence is significantly accelerated.”",
    measured="ADP-AUC: α = β minus α = 0, all else equal, W(0) with standard deviation 0.01",
    parts=(
        Part(
            statistic=PairedDifference(),
            unit="area",
            query=f"""
                WITH {COMPARED},
                families AS (
                    SELECT *, {equal_but("alpha")} AS family
                    FROM compared
                    WHERE head_init = 'normal' AND abs(head_sigma - 0.01) < 1e-9
                )
                SELECT study, source, epoch, target, seed,
                    free.arm || ' − ' || fixed.arm AS contrast,
                    free.adp_auc - fixed.adp_auc AS value
                FROM families AS free
                JOIN families AS fixed USING (study, source, epoch, target, family, seed)
                WHERE free.alpha = free.beta AND free.alpha > 0 AND fixed.alpha = 0
                ORDER BY study, source, epoch, target, free.position, contrast, seed
            """,
        ),
    ),
    exhibits=("A-F6", "adp-target"),
)
