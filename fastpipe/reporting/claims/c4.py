"""C4: the more similar the target, the larger its best λ' = λ/η (hyperparameters, section 3.3).

λ' falls with η. Where a grid has one λ above 0, its best λ' is the best learning rate over again;
the paper's three span one decade of λ, its learning rates three.
"""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.grids import TRIED, best
from fastpipe.reporting.statistics import PairCorrelation

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="C4",
    paper="Hyperparameters",
    section="§3.3, Fig. 5",
    title="The more similar source and target, the larger the best effective weight decay",
    says=(
        "“The optimal effective weight decay is larger when the source domain is similar with "
        "the target domain”"
    ),
    measured=(
        "Best λ′ = λ/η: that of the recipe with the best mean validation accuracy over seeds, "
        "among those with λ above 0. Spearman correlation of domain similarity with its "
        "logarithm over pairs of source and target, which should be above 0. Where the grid has "
        "one λ above 0, this says no more than that the best learning rate is smaller. Pairs, "
        "not seeds, are the units; whole sources and targets are exchanged for p"
    ),
    parts=(
        Part(
            statistic=PairCorrelation(),
            unit="correlation",
            query=f"""
                WITH {TRIED}, {best("chosen", where='"lambda" > 0 AND NOT scratch')}
                SELECT study, NULL AS source, NULL AS epoch, 'all pairs' AS target, NULL AS seed,
                    'similarity and log best effective weight decay' AS contrast,
                    likeness.source AS from_source, likeness.target AS to_target,
                    likeness.similarity AS x, log10("lambda" / alpha) AS y
                FROM chosen
                JOIN similarity AS likeness USING (source, epoch, target)
                ORDER BY study, from_source, to_target
            """,
        ),
    ),
    exhibits=("C-F5",),
)
