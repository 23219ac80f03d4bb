"""A8: FAST narrows the gap between optimisers (FAST, section 6.6)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import COMPARED
from fastpipe.reporting.statistics import PairedDifference

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A8",
    paper="FAST",
    section="§6.6, Fig. 13",
    title="Under FAST it matters less which optimiser is used",
    says=(
        "“when FAST is used …, the gap between performance obtained from different optimization "
        "algorithms is notably decreased”"
    ),
    measured=(
        "Gap in ADP-AUC between the best and the worst optimiser of a seed: of the baselines minus "
        "of FAST; each optimiser's baseline at the middle of its rates (c on the paper's plots)"
    ),
    parts=(
        Part(
            statistic=PairedDifference(),
            unit="area",
            query=f"""
                WITH {COMPARED},
                rates AS (
                    SELECT DISTINCT study, source, epoch, target, optimiser, alpha
                    FROM compared WHERE role = 'baseline' AND momentum_form = 'torch'
                ),
                middle AS (
                    SELECT study, source, epoch, target, optimiser,
                        quantile_disc(alpha, 0.5) AS alpha
                    FROM rates GROUP BY ALL
                ),
                pairs AS (
                    -- of several FAST arms or baselines with one optimiser, the first listed
                    SELECT study, source, epoch, target, seed, optimiser,
                        arg_min(f.adp_auc, (f.position, b.position)) AS fast,
                        arg_min(b.adp_auc, (f.position, b.position)) AS baseline
                    FROM compared AS f
                    JOIN compared AS b USING (study, source, epoch, target, seed, optimiser)
                    JOIN middle USING (study, source, epoch, target, optimiser)
                    WHERE f.role = 'fast' AND b.role = 'baseline'
                        AND f.momentum_form = 'torch' AND b.momentum_form = 'torch'
                        AND b.alpha = middle.alpha
                        AND f.adp_auc IS NOT NULL AND b.adp_auc IS NOT NULL
                    GROUP BY ALL
                ),
                most AS (
                    SELECT study, source, epoch, target, list(DISTINCT optimiser) AS optimisers
                    FROM pairs GROUP BY ALL
                )
                SELECT study, source, epoch, target, seed,
                    'baselines − FAST (' || array_to_string(list_sort(any_value(optimisers)), ', ')
                        || ')' AS contrast,
                    -- a seed that lacks an optimiser has another gap
                    CASE WHEN count(*) = len(any_value(optimisers))
                        THEN (max(baseline) - min(baseline)) - (max(fast) - min(fast)) END AS value
                FROM pairs JOIN most USING (study, source, epoch, target)
                WHERE len(optimisers) >= 2
                GROUP BY study, source, epoch, target, seed
                ORDER BY study, source, epoch, target, seed
            """,
        ),
    ),
    exhibits=("A-F13", "adp-target"),
)
