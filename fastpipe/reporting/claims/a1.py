"""A1: a smaller head initialisation converges faster (FAST, section 6.2)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import SIGMA_ENDS
from fastpipe.reporting.statistics import PairedDifference

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A1",
    paper="FAST",
    section="§6.2, Figs 3 and 5",
    title="A head that starts smaller learns the new task faster",
    says=(
        "“Scaling down the magnitude of the initial values of W not only increases the speed of "
        "convergence to the target task …”"
    ),
    measured=(
        "ADP-AUC (area under test accuracy of what one would deploy, against log step): smallest "
        "minus largest standard deviation σ of W(0), all else equal"
    ),
    parts=(
        Part(
            statistic=PairedDifference(),
            unit="area",
            query=f"""
                WITH {SIGMA_ENDS}
                SELECT study, source, epoch, target, seed,
                    small_arm || ' − ' || large_arm AS contrast,
                    small_auc - large_auc AS value
                FROM sigma_ends
                ORDER BY study, source, epoch, target, position, contrast, seed
            """,
        ),
    ),
    exhibits=("A-F3", "A-F5", "adp-target"),
)
