"""C1: at one learning rate, no momentum for similar targets (hyperparameters, section 3.2).

The fixed learning rate is that of the default settings (the arm with role `baseline`), as in the
paper's Tables 2 and 3.
"""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.grids import DEFAULTS, TRIED
from fastpipe.reporting.recipes import equal_but
from fastpipe.reporting.statistics import PairSlope

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="C1",
    paper="Hyperparameters",
    section="§3.2, Tables 2 and 3",
    title="At one learning rate, momentum helps dissimilar targets and hurts similar ones",
    says=(
        "“zero momentum sometimes work better for fine-tuning on tasks that are similar with the "
        "source domain, while nonzero momentum works better for target domains that are "
        "different”. Its own tables are less clear: without momentum Birds, third most similar "
        "to ImageNet, gains 0.7 points at η = 0.01 and loses 1.0 at 0.005 (Table 2); from iNat, "
        "Caltech, third most similar, loses 1.4 while Dogs, the next, gains 0.9 (Table 3)"
    ),
    measured=(
        "At the default learning rate, test accuracy with momentum 0 minus 0.9, all else equal, "
        "averaged over weight decays and seeds for each pair of source and target; slope of that "
        "difference on domain similarity over pairs, which should be above 0. The slope is tested, "
        "not the sign of the differences: one momentum may be better everywhere. Pairs, not seeds, "
        "are the units; since they share sources and targets, whole sources and targets are "
        "exchanged for p"
    ),
    parts=(
        Part(
            statistic=PairSlope(),
            unit="slope",
            query=f"""
                WITH {TRIED}, {DEFAULTS},
                families AS (
                    SELECT *, {equal_but("momentum", "weight_decay")} AS family
                    FROM grid WHERE NOT scratch
                ),
                standard AS (
                    SELECT DISTINCT study, source, epoch, target,
                        {equal_but("momentum", "weight_decay")} AS family
                    FROM defaults WHERE NOT scratch
                ),
                differences AS (
                    SELECT study, source, epoch, target,
                        zero.final_top1 - nine.final_top1 AS difference
                    FROM standard
                    JOIN families AS zero USING (study, source, epoch, target, family)
                    JOIN families AS nine
                        USING (study, source, epoch, target, family, weight_decay, seed)
                    WHERE zero.momentum = 0 AND nine.momentum = 0.9
                )
                SELECT study, NULL AS source, NULL AS epoch, 'all pairs' AS target, NULL AS seed,
                    'accuracy with momentum 0 − 0.9, per unit of similarity' AS contrast,
                    source AS from_source, target AS to_target, any_value(similarity) AS x,
                    CASE WHEN count(*) = count(difference) THEN avg(difference) END AS y
                FROM differences JOIN similarity USING (source, epoch, target)
                GROUP BY study, from_source, to_target
                ORDER BY study, from_source, to_target
            """,
        ),
    ),
    exhibits=("C-T2", "C-T3"),
)
