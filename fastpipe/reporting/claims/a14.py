"""A14: FAST gains more on a rougher landscape (FAST, section 6.5)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import COMPARED
from fastpipe.reporting.statistics import Interaction

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A14",
    paper="FAST",
    section="§6.5 and §6.6, Figs 8–10",
    title="FAST gains more where the network has no skip connections",
    says=(
        "“the compromise seems to be more significant as much as the loss landscape is more "
        "chaotic (e.g., VGG-19 compared to ResNet-18 …)”"
    ),
    measured=(
        "Gain of FAST in ADP-AUC over the mean of its SGD baselines: on the source without skip "
        "connections minus on the source with them, paired by seed"
    ),
    parts=(
        Part(
            statistic=Interaction(),
            unit="area",
            query=f"""
                WITH {COMPARED},
                gains AS (
                    SELECT study, target, skips, source, seed, avg(f.adp_auc - b.adp_auc) AS gain,
                        count(*) = count(f.adp_auc - b.adp_auc) AS complete
                    FROM compared AS f
                    JOIN compared AS b
                        USING (study, source, epoch, target, seed, optimiser, momentum_form)
                    JOIN snapshots USING (source, epoch)
                    WHERE f.role = 'fast' AND b.role = 'baseline' AND optimiser = 'sgd'
                    GROUP BY ALL
                )
                SELECT study, NULL AS source, NULL AS epoch, target, seed,
                    rough.source || ' − ' || smooth.source AS contrast,
                    CASE WHEN rough.complete AND smooth.complete
                        THEN rough.gain - smooth.gain END AS value
                FROM gains AS rough
                JOIN gains AS smooth USING (study, target, seed)
                WHERE NOT rough.skips AND smooth.skips
                ORDER BY study, target, contrast, seed
            """,
        ),
    ),
    exhibits=("A-F10", "A-F8", "A-F9", "adp-target"),
)
