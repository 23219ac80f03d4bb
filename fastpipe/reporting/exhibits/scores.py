"""Scores of transferability against achieved accuracy, target by target."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.axes import count_axis, fraction_axis
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.text import rounded
from fastpipe.reporting.drawing.transferability import FEWEST_TARGETS, SCORES, scored
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """A dot for each target, with its name; an infinite score (read as none) is left out."""
    del arms
    shown = [row for row in rows if row["value"] is not None]
    values = [
        {"target": row["target"], "recipe": row["recipe"], "value": rounded(row["value"])}
        | {"accuracy": rounded(row["accuracy"])}
        for row in shown
    ]
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X(
            "value:Q",
            title=SCORES[rows[0]["score"]],
            scale=alt.Scale(zero=False, nice=False, padding=32),
            axis=count_axis(),
        ),
        y=alt.Y(
            "accuracy:Q",
            title="Accuracy reached on the target (top-1, %)",
            scale=alt.Scale(zero=False, nice=False, padding=20),
            axis=fraction_axis(),
        ),
        tooltip=[
            alt.Tooltip("target:N", title="target"),
            alt.Tooltip("value:Q", title="score", format=".4~g"),
            alt.Tooltip("accuracy:Q", title="accuracy", format=".1%"),
            alt.Tooltip("recipe:N", title="recipe"),
        ],
    )
    texts = [
        base.mark_text(style=style, baseline="bottom", dy=-8, fontSize=12).encode(text="target:N")
        for style in ("halo", "note")
    ]
    dots = base.mark_point(filled=True, size=70, opacity=1, style="series")
    return alt.layer(*texts, dots).properties(height=300)


EXHIBIT = Exhibit(
    id="scores",
    place=14,
    short="Scores",
    title="Can features alone tell how well a target will go?",
    lede=(
        "Each dot is a target. The more the dots rise from left to right, the better the score "
        "tells beforehand, without any fine-tuning, which targets a source will serve well."
    ),
    paper=(
        "LogME (You et al. 2021), LEEP (Nguyen et al. 2020), NCE (Tran et al. 2019), H-score "
        "(Bao et al. 2019; regularised by Ibrahim et al. 2021) and TransRate (Huang et al. 2022) "
        "were each proposed with such a comparison; domain similarity by Cui et al. (2018)."
    ),
    here=(
        "Accuracy: mean over seeds of the last deployed state on test images, for each target of "
        "the recipe with the best mean accuracy on validation images. Scores come from the "
        "features of training images at the source’s last snapshot, the probes’ from validation "
        "images too. Targets differ in their number of classes, which moves most of these scores "
        "by itself. An infinite score is not drawn."
    ),
    query=scored(),
    panel=("setting_source", "score"),
    panel_title=lambda row: f"{SCORES[row['score']]}, source {row['setting_source']}",
    draw=draw,
    absent=f"No source has scores and runs on {FEWEST_TARGETS} targets; fewer have no order.",
    legend=False,
    layout="thirds",
)
