"""A5: leaving warm-up overshoots (FAST, section 6.4)."""

from fastpipe.reporting.claims.claim import Claim

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A5",
    title="Leaving warm-up costs accuracy at first",
    source="FAST, §6.4, Fig. 7",
    statistic=(
        "Largest drop of validation accuracy within 20 steps after the switch to joint training "
        "(highest point to a later lower one, the switch included); warm-up minus FAST over the "
        "same steps of the same seed"
    ),
    unit="points",
    exhibit="warmup-leap",
    query="""
        WITH pairs AS (
            SELECT
                w.setting_source, w.setting_epoch, w.target, w.seed, w.warmup_end_step AS switch,
                w.arm || ' − ' || f.arm AS contrast, w.position,
                w.recipe AS warmup, f.recipe AS fast
            FROM comparison AS w
            JOIN comparison AS f USING (setting_source, setting_epoch, target, seed)
            WHERE w.role = 'warmup' AND f.role = 'fast'
        ),
        windows AS (
            SELECT source, epoch, target, recipe, seed, pairs.contrast, v.step, v.top1,
                recipe = pairs.warmup AS is_warmup,
                max(v.top1) OVER (
                    PARTITION BY source, epoch, target, recipe, seed, pairs.contrast
                    ORDER BY v.step
                ) AS highest
            FROM pairs
            JOIN validations AS v USING (target, seed)
            WHERE (v.source, v.epoch) = (setting_source, setting_epoch)
                AND v.recipe IN (pairs.warmup, pairs.fast)
                AND v.step BETWEEN switch AND switch + 20
        ),
        drops AS (
            SELECT source, epoch, target, contrast, seed, is_warmup,
                max(highest - top1) AS drop, count(*) AS validations
            FROM windows GROUP BY ALL
        )
        SELECT setting_source AS source, setting_epoch AS epoch, pairs.target, pairs.contrast,
            pairs.seed,
            max(drop) FILTER (is_warmup AND validations > 1)
                - max(drop) FILTER (NOT is_warmup AND validations > 1) AS difference
        FROM pairs
        LEFT JOIN drops
            ON (drops.source, drops.epoch, drops.target, drops.contrast, drops.seed)
                = (setting_source, setting_epoch, pairs.target, pairs.contrast, pairs.seed)
        GROUP BY setting_source, setting_epoch, pairs.target, pairs.position, pairs.contrast,
            pairs.seed
        ORDER BY setting_source, setting_epoch, pairs.target, pairs.position, pairs.seed
    """,
)
