"""A6: lowering only β keeps the early accuracy, lowering both rates loses it (FAST, section 6.5).

The reference is (c, c): among the arms of one study, source and target with a near-zero head that
are equal in all but α and β, c is the α that most of them share (the larger one on ties), and the
arm with α = β = c must exist. Figures 8 and 9 have it so: c appears wherever only β is scaled.
"""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import COMPARED, NEAR_ZERO_HEAD
from fastpipe.reporting.recipes import equal_but
from fastpipe.reporting.statistics import PairedDifference

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A6",
    paper="FAST",
    section="§6.5, Figs 8 and 9",
    title="Lowering only the body's rate keeps early accuracy; lowering both loses it",
    says=(
        "Scaling down both rates “degrades the performance in the first 100 optimization steps”; "
        "if only β is scaled down, it “is not compromised on the earlier steps at all”."
    ),
    measured=(
        "ADP-AUC up to step 100, from a head near zero: β = f c with α = c, minus α = β = f c, for "
        "the same f < 1; c is the α that most arms share"
    ),
    parts=(
        Part(
            statistic=PairedDifference(),
            unit="area",
            query=f"""
                WITH {COMPARED},
                families AS (
                    SELECT *, {equal_but("alpha", "beta")} AS family
                    FROM compared WHERE {NEAR_ZERO_HEAD} AND alpha > 0 AND beta > 0
                ),
                shared AS (
                    SELECT study, source, epoch, target, family, alpha,
                        count(DISTINCT recipe) AS arms
                    FROM families GROUP BY ALL
                ),
                middle AS (
                    SELECT study, source, epoch, target, family,
                        arg_max(alpha, struct_pack(arms := arms, alpha := alpha)) AS c
                    FROM shared GROUP BY ALL
                ),
                pieces AS (
                    SELECT source, epoch, target, recipe, seed, step, top1,
                        (top1 + lag(top1) OVER run) / 2 * ln(step / lag(step) OVER run) AS area
                    FROM adp WHERE step BETWEEN 1 AND 100
                    WINDOW run AS (
                        PARTITION BY source, epoch, target, recipe, seed ORDER BY step)
                ),
                early AS (
                    SELECT source, epoch, target, recipe, seed,
                        CASE WHEN min(step) = 1 AND max(step) > 1 AND count(top1) = count(*)
                            THEN sum(area ORDER BY step) / ln(max(step)) END AS auc
                    FROM pieces GROUP BY ALL
                ),
                scaled AS (
                    SELECT families.*, c, early.auc
                    FROM families
                    JOIN middle USING (study, source, epoch, target, family)
                    LEFT JOIN early USING (source, epoch, target, recipe, seed)
                )
                SELECT study, source, epoch, target, seed,
                    body_only.arm || ' − ' || together.arm AS contrast,
                    body_only.auc - together.auc AS value
                FROM scaled AS body_only
                JOIN scaled AS together USING (study, source, epoch, target, family, seed)
                WHERE body_only.alpha = body_only.c
                    AND abs(body_only.beta / together.beta - 1) < 1e-9
                    AND together.alpha = together.beta
                    AND together.beta < body_only.c * (1 - 1e-9)
                    AND EXISTS (
                        FROM families AS reference
                        WHERE (reference.study, reference.source, reference.epoch,
                                reference.target, reference.family)
                            = (body_only.study, body_only.source, body_only.epoch,
                                body_only.target, body_only.family)
                            AND reference.alpha = body_only.c AND reference.beta = body_only.c)
                ORDER BY study, source, epoch, target, body_only.position, contrast, seed
            """,
        ),
    ),
    exhibits=("A-F8", "A-F9", "adp-target"),
)
