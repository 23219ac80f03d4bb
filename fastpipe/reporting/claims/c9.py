"""C9: from scratch, one large learning rate suits all targets (hyperparameters, section 3.3).

The paper's grid from scratch has three learning rates within one decade, its grid for fine-tuning
six over three decades, so its best rates from scratch could not spread as far. Compared here is
what both grids have.
"""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.grids import OWN_NETWORK, TRIED, best
from fastpipe.reporting.statistics import PairedDifference

__all__ = ["CLAIM"]

_PAIRS = f"""
    {TRIED},
    offered AS (
        SELECT study, target, elr FROM grid WHERE val_top1 IS NOT NULL
        GROUP BY ALL HAVING bool_or(scratch) AND bool_or(NOT scratch)
    ),
    shared AS (SELECT grid.* FROM grid JOIN offered USING (study, target, elr)),
    {best("own", "seed", among="shared")},
    paired AS (
        SELECT study, fine.source, fine.epoch, target, seed,
            log10(fine.elr) AS fine, log10(scratch.elr) AS scratch
        FROM own AS fine
        JOIN own AS scratch USING (study, target, seed)
        WHERE NOT fine.scratch AND scratch.scratch
        {OWN_NETWORK}
    )
"""


def _of(value: str, contrast: str) -> str:
    return f"""
        WITH {_PAIRS}
        SELECT study, source, epoch, 'all targets' AS target, seed,
            '{contrast}' AS contrast,
            -- a seed that lacks a target has another spread
            CASE WHEN count(*) = max(count(*)) OVER (PARTITION BY study, source, epoch)
                THEN {value} END AS value
        FROM paired
        GROUP BY study, source, epoch, seed
        HAVING count(*) >= 3
        ORDER BY study, source, epoch, seed
    """


CLAIM = Claim(
    id="C9",
    paper="Hyperparameters",
    section="§3.3, Fig. 4f",
    title="From scratch, one large effective learning rate suits all targets",
    says=(
        "“the optimal ELR for training from scratch is much larger and very similar across "
        "different target datasets”. Its grid from scratch has three rates within one decade, "
        "for fine-tuning six over three decades"
    ),
    measured=(
        "Best effective learning rate of each target by each seed's own validation accuracy, "
        "among the rates that both grids have. Standard deviation of its logarithm over targets: "
        "fine-tuned minus scratch, which should be above 0; and its mean: scratch minus "
        "fine-tuned, which should be above 0. The unit is a seed, so this speaks about these "
        "targets"
    ),
    parts=(
        Part(
            statistic=PairedDifference(),
            unit="decades",
            query=_of(
                "stddev_samp(fine) - stddev_samp(scratch)",
                "spread of log best effective rate, fine-tuned − scratch",
            ),
        ),
        Part(
            statistic=PairedDifference(),
            unit="decades",
            query=_of(
                "avg(scratch) - avg(fine)", "mean log best effective rate, scratch − fine-tuned"
            ),
        ),
    ),
    exhibits=("C-F4",),
)
