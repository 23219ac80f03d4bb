"""A7: FAST dominates every baseline rate (FAST, section 6.6)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import COMPARED
from fastpipe.reporting.statistics import PairedDifference

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A7",
    paper="FAST",
    section="§6.6, Figs 10–12",
    title="FAST is ahead of every baseline rate at any time",
    says=(
        "Scaling a baseline's rate compromises accuracy at the beginning or afterward; “employing "
        "FAST provides with achieving a non-compromised ADP”."
    ),
    measured=(
        "ADP-AUC (area under test accuracy of what one would deploy, against log step): FAST "
        "minus baseline, against every baseline with the same optimiser"
    ),
    parts=(
        Part(
            statistic=PairedDifference(),
            unit="area",
            query=f"""
                WITH {COMPARED}
                SELECT study, source, epoch, target, seed,
                    f.arm || ' − ' || b.arm AS contrast,
                    f.adp_auc - b.adp_auc AS value
                FROM compared AS f
                JOIN compared AS b
                    USING (study, source, epoch, target, seed, optimiser, momentum_form)
                WHERE f.role = 'fast' AND b.role = 'baseline'
                ORDER BY study, source, epoch, target, f.position, b.position, contrast, seed
            """,
        ),
    ),
    exhibits=("A-F10", "A-F11", "A-F12", "adp-target"),
)
