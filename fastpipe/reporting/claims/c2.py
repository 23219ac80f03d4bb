"""C2: at equal effective learning rate momentum does not matter (hyperparameters, section 3.3)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.grids import PLACE, TRIED, best
from fastpipe.reporting.statistics import Equivalence

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="C2",
    paper="Hyperparameters",
    section="§3.3, Fig. 3",
    title="At the same effective learning rate, momentum does not matter",
    says=(
        "“when η′ is constant, the best performance obtained by m = 0.9 and m = 0 are almost "
        "equivalent when other hyperparameters are allowed to change”"
    ),
    measured=(
        "At each effective learning rate η/(1 − m) that both momenta have: test accuracy with "
        "momentum 0 minus 0.9, each with the weight decay that validates best (one choice for "
        "all seeds); within 1 point of 0 on average over targets. The unit is a target (mean "
        "over its seeds), for each source on its own, so targets that differ among themselves "
        "widen the interval"
    ),
    parts=(
        Part(
            statistic=Equivalence(0.01),
            unit="points",
            query=f"""
                WITH {TRIED}, {best("chosen", "momentum", "elr")},
                scored AS (
                    FROM grid SEMI JOIN chosen USING ({PLACE}, recipe)
                    WHERE NOT scratch
                ),
                differences AS (
                    SELECT study, source, epoch, target, elr,
                        zero.final_top1 - nine.final_top1 AS difference
                    FROM scored AS zero
                    JOIN scored AS nine USING (study, source, epoch, target, elr, seed)
                    WHERE zero.momentum = 0 AND nine.momentum = 0.9
                )
                SELECT study, source, epoch, 'all targets' AS target, target AS to_target,
                    NULL AS seed, elr,
                    'momentum 0 − 0.9 at effective rate ' || format('{{:g}}', elr) AS contrast,
                    CASE WHEN count(*) = count(difference) THEN avg(difference) END AS value
                FROM differences
                GROUP BY study, source, epoch, to_target, elr
                ORDER BY study, source, epoch, elr, to_target
            """,
        ),
    ),
    exhibits=("C-F3",),
)
