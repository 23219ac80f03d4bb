"""Default against tuned, fine-tuning against training from scratch (Li et al. 2020, Table 8)."""

from collections.abc import Sequence

from fastpipe.reporting.drawing.by_target import target_table
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.grids import DEFAULTS, PLACE, TRIED, TUNED
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """A row for each start, first at the default settings, then tuned."""
    del arms
    return target_table([row | {"start": _start(row)} for row in rows],
                        [("settings", "settings"), ("start", "start")])  # fmt: skip


def _start(row: Row) -> str:
    return "from scratch" if row["scratch"] else f"from {row['setting_source']}"


EXHIBIT = Exhibit(
    id="C-T8",
    short="Tuned or not",
    title="Does fine-tuning still beat training from scratch once both are tuned?",
    lede=(
        "Above, everything at its default settings; below, each start with the settings that are "
        "best for the target. Compare how far fine-tuning and training from scratch lie apart."
    ),
    paper=(
        "Table 8 (ResNet-101; Dogs, Caltech, Indoor, Birds, Cars, Aircrafts, Flowers). Default, "
        "from ImageNet: 17.20, 13.42, 23.76, 18.10, 9.10, 17.55, 3.12; iNat-2017: 24.74, 20.12, "
        "30.73, 14.69, 11.16, 19.86, 3.19; Places-365: 30.84, 22.53, 22.19, 27.72, 11.06, 21.27, "
        "5.66; from scratch: 38.26, 36.21, 45.28, 43.72, 16.73, 26.49, 22.88. Tuned, from "
        "ImageNet: 9.83, 11.61, 20.54, 16.34, 7.61, 12.33, 2.91; iNat-2017: 23.51, 18.82, 28.11, "
        "12.06, 9.58, 15.45, 2.70; Places-365: 26.24, 22.14, 19.42, 22.90, 9.13, 15.48, 5.06; from "
        "scratch: 29.32, 29.62, 39.36, 30.08, 8.37, 14.34, 16.51."
    ),
    here=(
        "Error on the test split after the last step: mean ± half the width of the 95 % interval "
        "over seeds, in percent; the lowest of each target in bold. Tuned settings are those with "
        "the best validation accuracy, for each start and target. The default from scratch is the "
        "first setting that the study lists."
    ),
    query=f"""
        WITH {TRIED}, {DEFAULTS}, {TUNED},
        shown AS (
            SELECT 'default' AS settings, * FROM defaults
            UNION ALL
            SELECT 'tuned', * FROM tuned SEMI JOIN defaults USING ({PLACE})
        ),
        whole AS (
            SELECT study FROM shown GROUP BY study HAVING count(DISTINCT scratch) > 1
        )
        SELECT study, settings, scratch, setting_source, source_place, target, target_place,
            alpha, momentum, "lambda", count(final_top1) AS seeds,
            avg(1 - final_top1) AS error, half_width95(1 - final_top1) AS half_width
        FROM shown SEMI JOIN whole USING (study)
        WHERE isfinite(final_top1)
        GROUP BY ALL
        ORDER BY study, settings, scratch, source_place, target_place
    """,
    panel=(),
    panel_title=lambda row: "all starts",
    draw=draw,
    absent="No study has both a default for fine-tuning and arms from scratch.",
    layout="rows",
)
