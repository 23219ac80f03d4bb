"""A9: FAST ends closer to where it started (FAST, Table 1)."""

from fastpipe.reporting.claims.claim import Claim

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A9",
    title="FAST ends closer to the pretrained network",
    source="FAST, §6.7, Table 1",
    statistic=(
        "Distance travelled ‖θ* − θ_source‖₂ of the body deployed at the end; baseline minus "
        "FAST, for every baseline"
    ),
    unit="distance",
    exhibit="final-table",
    query="""
        SELECT
            f.setting_source AS source, f.setting_epoch AS epoch, f.target,
            b.arm || ' − ' || f.arm AS contrast, f.seed,
            b.body_distance - f.body_distance AS difference
        FROM comparison AS f
        JOIN comparison AS b USING (setting_source, setting_epoch, target, seed)
        WHERE f.role = 'fast' AND b.role = 'baseline'
        ORDER BY f.setting_source, f.setting_epoch, f.target, f.position, b.position, f.seed
    """,
)
