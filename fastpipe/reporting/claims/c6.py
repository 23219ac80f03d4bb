"""C6: BatchNorm's momentum does not matter from 0.9 on (hyperparameters, appendix C)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.grids import TRIED
from fastpipe.reporting.recipes import equal_but
from fastpipe.reporting.statistics import Equivalence

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="C6",
    paper="Hyperparameters",
    section="App. C, Fig. 10",
    title="BatchNorm's momentum does not matter from 0.9 on",
    says=(
        "“m_bn = 0.99 slightly improves the performance for some datasets, however, there is no "
        "significant performance difference among values greater than 0.9”"
    ),
    measured=(
        "Test accuracy with one BatchNorm momentum of 0.9 or more minus another, all else equal, "
        "for each two of them: within 1 point of 0. The unit is a seed, on each target"
    ),
    parts=(
        Part(
            statistic=Equivalence(0.01),
            unit="points",
            query=f"""
                WITH {TRIED},
                families AS (
                    SELECT *, {equal_but("bn_momentum")} AS family
                    FROM grid WHERE NOT scratch AND bn_momentum >= 0.9
                )
                SELECT study, source, epoch, target, seed,
                    'BatchNorm momentum ' || format('{{:g}} − {{:g}}', high.bn_momentum,
                        low.bn_momentum) AS contrast,
                    -- over recipes, if the study varies something else too
                    avg(high.final_top1 - low.final_top1) AS value
                FROM families AS low
                JOIN families AS high USING (study, source, epoch, target, family, seed)
                WHERE low.bn_momentum < high.bn_momentum
                GROUP BY study, source, epoch, target, seed, low.bn_momentum, high.bn_momentum
                ORDER BY study, source, epoch, target, low.bn_momentum, high.bn_momentum, seed
            """,
        ),
    ),
    exhibits=("C-F10",),
)
