"""C10: other networks order targets alike by best ELR (hyperparameters, section 3.3).

Networks are sources trained on one dataset.
"""

from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.grids import TRIED, best
from fastpipe.reporting.statistics import Concordance

__all__ = ["CLAIM"]

CLAIM = Claim(
    id="C10",
    paper="Hyperparameters",
    section="§3.3, Fig. 4a–c and Table 4",
    title="Which targets need a larger effective learning rate does not depend on the network",
    says=(
        "“Similar observations can be made on DenseNets and MobileNet. Though the optimal ELR "
        "value is different, the relative order of domain similarity is consistent and "
        "architecture agnostic”. Its Table 4 has Aircrafts above Flowers for ResNet and "
        "MobileNet and below for DenseNet"
    ),
    measured=(
        "Kendall's W of targets' best effective learning rates (by mean validation accuracy over "
        "seeds, among the recipes that all networks tried) between networks pretrained on the "
        "same images: 1 is full agreement, one over the number of networks is chance, and it "
        "should be above. The unit is a target; ties share ranks"
    ),
    parts=(
        Part(
            statistic=Concordance(),
            unit="correlation",
            query=f"""
                WITH {TRIED},
                networks AS (
                    SELECT grid.*, dataset
                    FROM grid
                    JOIN (SELECT source, epoch, dataset FROM snapshots) USING (source, epoch)
                    WHERE NOT scratch AND dataset IS NOT NULL AND val_top1 IS NOT NULL
                ),
                several AS (
                    SELECT study, dataset, count(DISTINCT source) AS many
                    FROM networks GROUP BY ALL HAVING many > 1
                ),
                common AS (
                    SELECT study, dataset, target, recipe
                    FROM networks JOIN several USING (study, dataset)
                    GROUP BY study, dataset, target, recipe, many
                    HAVING count(DISTINCT source) = many
                ),
                shared AS (
                    SELECT networks.* FROM networks
                    JOIN common USING (study, dataset, target, recipe)
                ),
                {best("chosen", "dataset", among="shared")}
                SELECT study, NULL AS source, NULL AS epoch, 'all targets' AS target, NULL AS seed,
                    count(DISTINCT source) OVER (PARTITION BY study, dataset)
                        || ' networks pretrained on ' || dataset AS contrast,
                    source AS from_source, chosen.target AS to_target, log10(elr) AS y
                FROM chosen
                ORDER BY study, dataset, from_source, to_target
            """,
        ),
    ),
    exhibits=("C-F4", "C-T4"),
)
