"""C3: the more similar the target, the smaller its best ELR (hyperparameters, section 3.3)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.grids import TRIED, best
from fastpipe.reporting.statistics import PairCorrelation

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="C3",
    paper="Hyperparameters",
    section="§3.3, Fig. 4 and Table 4",
    title="The more similar source and target, the smaller the best effective learning rate",
    says=(
        "“Generally, the more similar the two domains, the smaller the optimal ELR. Though it is "
        "not strictly corresponding”. Indeed: in its Table 4, Caltech is the most similar to "
        "ImageNet, but Dogs has the smallest best rate; and Cars, third most similar to "
        "Places-365, has the largest there, 1.0"
    ),
    measured=(
        "Best effective learning rate: that of the recipe with the best mean validation accuracy "
        "over seeds (of equals the smallest). Spearman correlation of domain similarity with "
        "minus its logarithm over pairs of source and target, which should be above 0. Pairs, "
        "not seeds, are the units; since they share sources and targets, whole sources and "
        "targets are exchanged for p"
    ),
    parts=(
        Part(
            statistic=PairCorrelation(),
            unit="correlation",
            query=f"""
                WITH {TRIED}, {best("best_elr")}
                SELECT study, NULL AS source, NULL AS epoch, 'all pairs' AS target, NULL AS seed,
                    'similarity and − log best effective rate' AS contrast,
                    likeness.source AS from_source, likeness.target AS to_target,
                    likeness.similarity AS x, -log10(elr) AS y
                FROM best_elr
                JOIN similarity AS likeness USING (source, epoch, target)
                WHERE NOT scratch
                ORDER BY study, from_source, to_target
            """,
        ),
    ),
    exhibits=("C-T4", "C-F4"),
)
