"""A7: FAST dominates every baseline rate (FAST, section 6.6)."""

from fastpipe.reporting.claims.claim import Claim

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A7",
    title="FAST is ahead of every baseline rate at any time",
    source="FAST, §6.6, Figs 10–12",
    statistic=(
        "ADP-AUC (area under test accuracy of what one would deploy, against log step); FAST "
        "minus baseline, against every baseline"
    ),
    unit="area",
    exhibit="adp-target",
    query="""
        SELECT
            f.setting_source AS source, f.setting_epoch AS epoch, f.target,
            f.arm || ' − ' || b.arm AS contrast, f.seed,
            f.adp_auc - b.adp_auc AS difference
        FROM comparison AS f
        JOIN comparison AS b USING (setting_source, setting_epoch, target, seed)
        WHERE f.role = 'fast' AND b.role = 'baseline'
        ORDER BY f.setting_source, f.setting_epoch, f.target, f.position, b.position, f.seed
    """,
)
