"""The effect of how long the source was pretrained: accuracy and distance against epoch."""

from collections.abc import Callable, Sequence

import altair as alt

from fastpipe.reporting.exhibits.bands import band_chart, band_rows
from fastpipe.reporting.exhibits.exhibit import Exhibit, epoch_axis
from fastpipe.reporting.numbers import percent, plain, scores
from fastpipe.reporting.tables import Row

__all__ = ["ACCURACY", "DISTANCE"]

_MEASURES: dict[str, tuple[str, str, str, Callable[[float], str]]] = {
    "auc": ("at any time", "ADP-AUC: average accuracy over log step, in [0, 1]", ".2f", scores),
    "top1": ("at the end", "Test accuracy at the last step (top-1, %)", ".0%", percent),
    "distance": (
        "distance travelled",
        "Distance of the body from where it started",
        "~g",
        plain,
    ),
}


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """Mean over seeds with its band against pretraining epochs, for each arm."""
    _, title, form, text = _MEASURES[rows[0]["measure"]]
    limit = {} if text is plain else {"ceiling": 1.0}
    return band_chart(
        band_rows(rows, text, floor=0.0, **limit),
        arms,
        x=alt.X(
            "epoch:Q",
            title="pretraining epochs of the source (square-root scale)",
            scale=alt.Scale(type="sqrt", nice=False),
            axis=epoch_axis(row["epoch"] for row in rows),
        ),
        title=title,
        scale=alt.Scale(zero=text is plain),
        form=form,
        tooltip=[alt.Tooltip("epoch:Q", title="pretraining epochs", format="~g")],
    )


def _query(measures: str) -> str:
    return f"""
        WITH measured AS (
            UNPIVOT (
                SELECT source, epoch, target, arm, position, seed,
                    adp_auc AS auc, final_top1 AS top1, body_distance AS distance
                FROM over_pretraining
            ) ON {measures} INTO NAME measure VALUE value
        ),
        followed AS (
            SELECT source, target, arm, measure FROM measured
            GROUP BY ALL HAVING count(DISTINCT epoch) > 1
        )
        SELECT source AS setting_source, target, measure, position, arm, epoch,
            count(value) AS seeds, avg(value) AS mean, half_width95(value) AS half_width
        FROM measured
        JOIN followed USING (source, target, arm, measure)
        GROUP BY ALL
        ORDER BY setting_source, target, measure, position, epoch
    """


def _title(row: Row) -> str:
    return f"{row['target']}: {_MEASURES[row['measure']][0]}"


_PANEL = ("setting_source", "target", "measure")
_ABSENT = "No recipe has been run from more than one snapshot of a source."

ACCURACY = Exhibit(
    id="pretraining-accuracy",
    short="Pretraining",
    title="How much pretraining does it take?",
    lede=(
        "The same recipes, started from snapshots of the source taken earlier or later in its "
        "own training; 0 epochs is the random initialisation."
    ),
    paper=(
        "Liu et al., “Towards understanding the transferability of deep representations” "
        "(Fig. 9: ResNet-50, Food-101 to CUB-200): the accuracy reached on the target rises "
        "with pretraining at first, then declines. The FAST paper always pretrains to the end."
    ),
    here=(
        "Accuracy at any time (ADP-AUC) and at the last step, mean over seeds with its 95 % "
        "interval. The horizontal axis is spread out on the left to separate early snapshots."
    ),
    query=_query("auc, top1"),
    panel=_PANEL,
    panel_title=_title,
    draw=draw,
    absent=_ABSENT,
)

DISTANCE = Exhibit(
    id="pretraining-distance",
    short="Distance",
    title="How far does the body travel?",
    lede=(
        "The longer the source was pretrained, the less there should be left to change. Distance "
        "is measured between the body that is deployed at the end and the snapshot it came from."
    ),
    paper=(
        "FAST ends closest to the source (Table 1: 7.2 against 14.3 to 119.5 on CIFAR-100, 5.3 "
        "against 5.9 to 37.2 on Caltech-256)."
    ),
    here=(
        "Euclidean distance ‖θ* − θ_source‖ over all body parameters, mean over seeds with its "
        "95 % interval."
    ),
    query=_query("distance"),
    panel=_PANEL,
    panel_title=_title,
    draw=draw,
    absent=_ABSENT,
)
