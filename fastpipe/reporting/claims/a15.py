"""A15: fan-out initialisation is worse than fan-in (FAST, footnote 20)."""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.compared import COMPARED
from fastpipe.reporting.recipes import equal_but
from fastpipe.reporting.statistics import PairedDifference

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="A15",
    paper="FAST",
    section="§6.6, footnote 20",
    title="With more features than classes, a fan-out head is worse than a fan-in one",
    says=(
        "“In these cases, since D > N, choosing the fan-out mode of Kaiming method to initialize W "
        "results in worse performance than that of the fan-in mode”"
    ),
    measured=(
        "ADP-AUC: Kaiming fan-in minus fan-out, all else equal, where the feature length D exceeds "
        "the number of classes N"
    ),
    parts=(
        Part(
            statistic=PairedDifference(),
            unit="area",
            query=f"""
                WITH {COMPARED},
                long_features AS (
                    SELECT source, epoch, dataset AS target
                    FROM (SELECT source, epoch, features FROM snapshots), datasets
                    WHERE features > len(classes)
                ),
                families AS (
                    SELECT *, {equal_but("head_init", "head_sigma")} AS family
                    FROM compared JOIN long_features USING (source, epoch, target)
                )
                SELECT study, source, epoch, target, seed,
                    fan_in.arm || ' − ' || fan_out.arm AS contrast,
                    fan_in.adp_auc - fan_out.adp_auc AS value
                FROM families AS fan_in
                JOIN families AS fan_out USING (study, source, epoch, target, family, seed)
                WHERE fan_in.head_init = 'kaiming-fan-in'
                    AND fan_out.head_init = 'kaiming-fan-out'
                ORDER BY study, source, epoch, target, fan_in.position, contrast, seed
            """,
        ),
    ),
    exhibits=("A-F7", "adp-target"),
)
