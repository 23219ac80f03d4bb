"""C5: L2-SP helps on similar targets only (hyperparameters, section 3.4 and appendix D)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.sides import SIDE_MEANS
from fastpipe.reporting.grids import PLACE, TRIED, best
from fastpipe.reporting.statistics import Equivalence, PairedDifference

__all__ = ["CLAIM"]


def _on(side: str) -> str:
    return f"""
        WITH {TRIED}, {best("chosen", "regulariser")},
        scored AS (
            FROM grid SEMI JOIN chosen USING ({PLACE}, recipe) WHERE NOT scratch
        ),
        differences AS (
            SELECT study, source, epoch, target, 'L2-SP − L2' AS what, seed,
                pulled.final_top1 - plain.final_top1 AS value
            FROM scored AS pulled
            JOIN scored AS plain USING (study, source, epoch, target, seed)
            WHERE pulled.regulariser = 'l2-sp' AND plain.regulariser = 'l2'
        ),
        {SIDE_MEANS}
        SELECT study, source, epoch, 'all targets' AS target, seed,
            what || ', ' || names AS contrast, value
        FROM side_means WHERE side = '{side}'
        ORDER BY study, source, epoch, seed
    """


CLAIM = Claim(
    id="C5",
    paper="Hyperparameters",
    section="§3.4, Table 5",
    title="L2-SP is better than L2 on similar targets, and no different on dissimilar ones",
    says=(
        "“L2 regularization is very competitive with L2-SP on Birds, Cars, Aircrafts and "
        "Flowers, which indicates that reference based regularization may not generalize well "
        "for fine-tuning on dissimilar domains”. In its Table 5, L2-SP is better by 2.9, 0.5 and "
        "1.2 points on Dogs, Caltech and Indoor, and by 0.2, 0.5, 0.4 and −0.3 on the others, so "
        "Caltech gains no more than Cars"
    ),
    measured=(
        "Test accuracy with L2-SP minus L2 (top-1: one minus the paper's error, which is "
        "averaged over classes, where each class has as many test images), each with the "
        "learning rate and strength that validate best, one choice for all seeds. On dissimilar "
        "targets within 1 point of 0, on similar ones above 0; dissimilar and similar: below and "
        "above the median similarity of the study's targets. The unit is a seed (mean over the "
        "targets of a side), so this speaks about these targets, not about others"
    ),
    parts=(
        Part(statistic=Equivalence(0.01), unit="points", query=_on("dissimilar")),
        Part(statistic=PairedDifference(), unit="points", query=_on("similar")),
    ),
    exhibits=("C-T5", "C-F6"),
)
