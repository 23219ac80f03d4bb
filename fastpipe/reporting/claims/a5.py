"""A5: leaving warm-up overshoots (FAST, section 6.4)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.statistics import PairedDifference

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A5",
    paper="FAST",
    section="§6.4, Fig. 7",
    title="Leaving warm-up costs accuracy at first",
    says=(
        "Classifier warm-up “still is prone to minimum overshooting”: “large leaps of validation "
        "accuracy” at the switch to joint training."
    ),
    measured=(
        "Largest drop of validation accuracy within 20 steps after the switch to joint training "
        "(highest point to a later lower one, the switch included): warm-up minus FAST over the "
        "same steps of the same seed"
    ),
    parts=(
        Part(
            statistic=PairedDifference(),
            unit="points",
            query="""
                WITH pairs AS (
                    SELECT w.study, w.setting_source, w.setting_epoch, w.target, w.seed,
                        w.warmup_end_step AS switch, w.position, f.position AS fast_position,
                        w.arm || ' − ' || f.arm AS contrast,
                        w.recipe AS warmup, f.recipe AS fast
                    FROM comparison AS w
                    JOIN comparison AS f USING (study, setting_source, setting_epoch, target, seed)
                    WHERE w.role = 'warmup' AND f.role = 'fast'
                ),
                windows AS (
                    SELECT pairs.study, source, epoch, target, seed, pairs.contrast, v.top1,
                        recipe = pairs.warmup AS is_warmup,
                        max(v.top1) OVER (
                            PARTITION BY pairs.study, source, epoch, target, recipe, seed,
                                pairs.contrast
                            ORDER BY v.step
                        ) AS highest
                    FROM pairs
                    JOIN validations AS v USING (target, seed)
                    WHERE (v.source, v.epoch) = (setting_source, setting_epoch)
                        AND v.recipe IN (pairs.warmup, pairs.fast)
                        AND v.step BETWEEN switch AND switch + 20
                ),
                drops AS (
                    SELECT study, source, epoch, target, contrast, seed, is_warmup,
                        max(highest - top1) AS drop, count(*) AS validations
                    FROM windows GROUP BY ALL
                )
                SELECT pairs.study, setting_source AS source, setting_epoch AS epoch,
                    pairs.target, pairs.contrast, pairs.seed,
                    max(drop) FILTER (is_warmup AND validations > 1)
                        - max(drop) FILTER (NOT is_warmup AND validations > 1) AS value
                FROM pairs
                LEFT JOIN drops
                    ON (drops.study, drops.source, drops.epoch, drops.target, drops.contrast,
                            drops.seed)
                        = (pairs.study, setting_source, setting_epoch, pairs.target,
                            pairs.contrast, pairs.seed)
                GROUP BY ALL
                ORDER BY pairs.study, source, epoch, pairs.target, min(pairs.position),
                    min(pairs.fast_position), pairs.contrast, pairs.seed
            """,
        ),
    ),
    exhibits=("A-F7", "warmup-leap"),
)
