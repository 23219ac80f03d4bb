"""Measures against how long the source was pretrained: what two exhibits share."""

from collections.abc import Callable, Sequence

import altair as alt

from fastpipe.reporting.drawing.axes import count_axis, epoch_axis, fraction_axis
from fastpipe.reporting.drawing.bands import band_chart, band_rows
from fastpipe.reporting.numbers import percent, plain, scores
from fastpipe.reporting.tables import Row

__all__ = ["ABSENT", "PANEL", "draw", "measure_title", "pretraining_query"]

PANEL = ("setting_source", "target", "measure")
ABSENT = "No two recipes, and none at three snapshots, have been run from several snapshots."

_MEASURES: dict[str, tuple[str, str, Callable[[float], str]]] = {
    "auc": ("at any time", "ADP-AUC: average accuracy over log step, in [0, 1]", scores),
    "top1": ("at the end", "Test accuracy at the last step (top-1, %)", percent),
    "distance": ("distance travelled", "Distance of the body from where it started", plain),
}


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """Mean over seeds with its band against pretraining epochs, for each arm."""
    _, title, text = _MEASURES[rows[0]["measure"]]
    limit = {} if text is plain else {"ceiling": 1.0}
    drawn = band_rows(rows, text, floor=0.0, **limit)
    return band_chart(
        drawn,
        arms,
        x=alt.X(
            "epoch:Q",
            title="pretraining epochs of the source (square-root scale)",
            scale=alt.Scale(type="sqrt", nice=False),
            axis=epoch_axis(row["epoch"] for row in rows),
        ),
        title=title,
        scale=alt.Scale(zero=text is plain),
        axis=fraction_axis() if text is percent else count_axis(),
        tooltip=[alt.Tooltip("epoch:Q", title="pretraining epochs", format="~g")],
    ).properties(data=alt.InlineData(values=drawn))


def pretraining_query(measures: str) -> str:
    """Bands of measures (auc, top1, distance) over snapshots.

    One arm at two snapshots says little and is often a scratch arm that shares the recipe of a
    baseline; a panel needs a second arm or a third snapshot.
    """
    return f"""
        WITH measured AS (
            UNPIVOT (
                SELECT study, source, epoch, target, arm, position, seed,
                    adp_auc AS auc, final_top1 AS top1, body_distance AS distance
                FROM over_pretraining
            ) ON {measures} INTO NAME measure VALUE value
        ),
        followed AS (
            SELECT study, source, target, arm, measure, count(DISTINCT epoch) AS epochs
            FROM measured
            GROUP BY ALL HAVING epochs > 1
        ),
        panels AS (
            SELECT study, source, target, measure FROM followed
            GROUP BY ALL HAVING count(DISTINCT arm) > 1 OR max(epochs) > 2
        )
        SELECT study, source AS setting_source, target, measure, position, arm, epoch,
            count(value) AS seeds, avg(value) AS mean, half_width95(value) AS half_width
        FROM measured
        JOIN followed USING (study, source, target, arm, measure)
        JOIN panels USING (study, source, target, measure)
        GROUP BY ALL
        ORDER BY study, setting_source, target, measure, position, epoch
    """


def measure_title(row: Row) -> str:
    """The target, and what is measured."""
    return f"{row['target']}: {_MEASURES[row['measure']][0]}"
