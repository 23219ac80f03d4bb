"""Errors of the sources on their own task (Li et al. 2020, Table 7)."""

from collections.abc import Sequence

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.numbers import plus_minus
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

_NUMBERS = ("source", "dataset", "classes", "epoch", "error")


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """A row for each source."""
    del arms
    return Table(
        columns=["source", "trained on", "classes", "epochs", "top-1 error, %"],
        rows=[_cells(row) for row in rows],
        values=[{name: row[name] for name in _NUMBERS} for row in rows],
    )


def _cells(row: Row) -> list[str]:
    classes = "–" if row["classes"] is None else f"{row['classes']:,}"
    error = plus_minus(row["error"], None, "percent")
    return [row["source"], row["dataset"] or "–", classes, f"{row['epoch']:g}", error]


EXHIBIT = Exhibit(
    id="C-T7",
    short="Sources",
    title="How good are the sources at their own task?",
    lede="What the fine-tuned networks start from.",
    paper=(
        "Table 7 (ResNet-101, top-1 error on the source's validation set): iNat-2017 (5,089 "
        "classes) 32.2, Places-365 (365) 31.5; ImageNet's (1,000) is illegible in the copy read."
    ),
    here=(
        "Error of the snapshot that runs start from, on the source's validation split; one "
        "network each, so without an interval."
    ),
    query="""
        WITH used AS (
            SELECT studies.name AS study, arms.source, max(arms.epoch) AS epoch,
                min(arms.rowid) AS place
            FROM studies
            JOIN arms ON arms.study = studies.name OR list_contains(includes, arms.study)
            WHERE role <> 'scratch' GROUP BY ALL
        )
        SELECT study, used.source AS setting_source, used.source, used.epoch,
            snapshots.dataset, len(datasets.classes) AS classes, 1 - val_top1 AS error
        FROM used
        JOIN snapshots USING (source, epoch)
        LEFT JOIN datasets USING (dataset)
        WHERE isfinite(val_top1)
        ORDER BY study, place
    """,
    panel=(),
    panel_title=lambda row: "all sources",
    draw=draw,
    absent="No source has been validated on its own task.",
    layout="rows",
)
