"""A9: FAST ends closer to where it started (FAST, Table 1)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import COMPARED
from fastpipe.reporting.statistics import PairedDifference

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A9",
    paper="FAST",
    section="§6.7, Table 1",
    title="FAST ends closer to the pretrained network",
    says="“compared to the baselines, FAST preserves θ* in a closer proximity to θ_source”",
    measured=(
        "Distance travelled ‖θ* − θ_source‖₂ of the body deployed at the end: baseline minus "
        "FAST, for every baseline with the same optimiser"
    ),
    parts=(
        Part(
            statistic=PairedDifference(),
            unit="distance",
            query=f"""
                WITH {COMPARED}
                SELECT study, source, epoch, target, seed,
                    b.arm || ' − ' || f.arm AS contrast,
                    b.body_distance - f.body_distance AS value
                FROM compared AS f
                JOIN compared AS b
                    USING (study, source, epoch, target, seed, optimiser, momentum_form)
                WHERE f.role = 'fast' AND b.role = 'baseline'
                ORDER BY study, source, epoch, target, f.position, b.position, contrast, seed
            """,
        ),
    ),
    exhibits=("A-T1", "final-table"),
)
