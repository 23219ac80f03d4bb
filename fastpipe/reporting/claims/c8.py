"""C8: similarity predicts a useful range of rates for a new target (Li et al. 2020, §3.3)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.statistics import NonInferiority, PairedDifference

__all__ = ["CLAIM"]

_MARGIN = 0.01

_RULE = """
    rule AS (
        SELECT study, source, epoch, target, regret
        FROM advice WHERE predictor = 'nearest' AND search
    )
"""

_RIVALS = """
    FROM (VALUES ('default', false, 'always the default'), ('random', true, 'random points'),
        ('median', true, 'decade of the median'), ('default', true, 'decade of the default')
    ) AS rivals(predictor, search, rival)
"""
"""What must be beaten: the last three train about as many points as the rule, blindly."""


def _query(contrast: str, value: str, rivals: str = "") -> str:
    """One value for each target: sources that share a target are not independent."""
    return f"""
        WITH {_RULE}
        SELECT rule.study, NULL AS source, NULL AS epoch, 'targets left out in turn' AS target,
            rule.target AS seed, {contrast} AS contrast, avg({value}) AS value
        FROM rule {rivals}
        GROUP BY ALL
        ORDER BY rule.study, contrast, seed
    """


CLAIM = Claim(
    id="C8",
    paper="Hyperparameters",
    section="§3.3",
    title="Similarity to the source predicts a useful range of learning rates for a new target",
    says=(
        "“Given a new dataset to fine-tune, one can calculate the domain similarity and compare "
        "with the scores of reference datasets, and choose the range of ELRs with the closest "
        "domain similarity.”"
    ),
    measured=(
        "Each target is left out in turn; the decade of the best effective rate of the most "
        "similarly placed other target is searched on validation images. Test accuracy, mean over "
        "sources, paired by target: minus that of a search of the full grid, no worse by 1 point; "
        "minus that of always the default (one recipe), of as many random points of the grid, and "
        "of two decades searched alike without similarity (that of the other targets' median best "
        "rate, that of the default), above 0 each"
    ),
    parts=(
        Part(
            statistic=NonInferiority(margin=_MARGIN),
            unit="points",
            query=_query("'predicted range − full grid'", "-rule.regret"),
        ),
        Part(
            statistic=PairedDifference(),
            unit="points",
            query=_query(
                "'predicted range − ' || rival",
                "other.regret - rule.regret",
                f"JOIN advice AS other USING (study, source, epoch, target) JOIN ({_RIVALS}) "
                "USING (predictor, search)",
            ),
        ),
    ),
    exhibits=("advice",),
)
