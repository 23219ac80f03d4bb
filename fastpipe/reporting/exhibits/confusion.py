"""Which classes are taken for which, by the arm that validation prefers."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.best_arm import best_arm
from fastpipe.reporting.drawing.exhibit import Drawing, Exhibit
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.drawing.text import rounded
from fastpipe.reporting.numbers import percent
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

MOST_CLASSES = 40
"""With more, only the pairs confused most often are listed."""

_LISTED = 25
_PRINTED_CLASSES = 15
"""Up to so many classes the cells have room for their shares."""


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Drawing:
    """A row for each true class: what its test images are taken for, in shares of the class."""
    del arms
    return _matrix(rows) if len(rows[0]["classes"]) <= MOST_CLASSES else _pairs(rows)


def _matrix(rows: Sequence[Row]) -> alt.LayerChart:
    # Orders are given as domains: `sort=[…]` would write the names into a Vega expression, whose
    # parser stops at some characters.
    classes = list(rows[0]["classes"])
    predicted = [*classes, *({row["predicted_class"] for row in rows} - {*classes})]
    values = [
        {name: row[name] for name in ("true_class", "predicted_class")}
        | {name: rounded(row[name], 4) for name in ("share", "images")}
        for row in rows
    ]
    angle = 0 if max(map(len, predicted)) < 4 else -45
    cells = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X("predicted_class:N", title="predicted class", sort=None,
                scale=alt.Scale(domain=predicted),
                axis=alt.Axis(labelAngle=angle, labelLimit=90, ticks=False, domain=False)),
        y=alt.Y("true_class:N", title="true class", sort=None, scale=alt.Scale(domain=classes),
                axis=alt.Axis(labelLimit=110, grid=False)),
    )  # fmt: skip
    squares = cells.mark_rect(style="flow", cornerRadius=2).encode(
        opacity=alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.06, 1]),
                            legend=None),
        tooltip=[
            alt.Tooltip("true_class:N", title="true class"),
            alt.Tooltip("predicted_class:N", title="predicted class"),
            alt.Tooltip("share:Q", title="share of the true class", format=".1%"),
            alt.Tooltip("images:Q", title="images, mean over seeds", format=".4~"),
        ],
    )  # fmt: skip
    few = len(classes) <= _PRINTED_CLASSES
    labels = cells.mark_text().encode(text=alt.Text("share:Q", format=".0%"))
    printed = [
        labels.transform_filter("datum.share >= 0.015 && datum.share < 0.6").mark_text(
            style="off-flow"
        ),
        labels.transform_filter("datum.share >= 0.6").mark_text(style="on-flow"),
    ]
    height = max(120, (29 if few else 15) * len(classes))
    return alt.layer(squares, *(printed if few else [])).properties(height=height)


def _pairs(rows: Sequence[Row]) -> Table:
    """The wrong cells of the matrix, largest share first."""
    wrong = [row for row in rows if row["true_class"] != row["predicted_class"]]
    wrong.sort(key=lambda row: (-row["share"], row["true_class"], row["predicted_class"]))
    columns = ("true_class", "predicted_class", "share", "images", "seeds")
    return Table(
        columns=["true class", "taken for", "share of the class", "images"],
        rows=[
            [row["true_class"], row["predicted_class"], percent(row["share"]), f"{row['images']:g}"]
            for row in wrong[:_LISTED]
        ],
        values=[{name: row[name] for name in columns} for row in wrong],
    )


EXHIBIT = Exhibit(
    id="confusion",
    place=12,
    short="Confusion",
    title="Which classes are taken for which?",
    lede=(
        "Each row is a true class; the dark cell on the diagonal is what was recognised, the "
        "others are mistakes."
    ),
    paper="It is in no paper.",
    here=(
        "The arm with the best mean accuracy on the validation split, its state deployed at the "
        "last checkpoint, test images: shares of the true class, mean over seeds. With more than "
        f"{MOST_CLASSES} classes, the {_LISTED} pairs confused most often; the CSV file has all."
    ),
    query=f"""
        WITH {best_arm()},
        counts AS (
            SELECT study, setting_source, target, position, arm, label, predicted,
                sum(confusion.images) AS images, any_value(seeds) AS seeds
            FROM best_runs JOIN confusion USING (source, epoch, target, recipe, seed)
            GROUP BY study, setting_source, target, position, arm, label, predicted
        )
        SELECT study, setting_source, target, arm, seeds, classes,
            classes[label + 1] AS true_class,
            CASE WHEN predicted < 0 THEN 'none' ELSE classes[predicted + 1] END AS predicted_class,
            images / seeds AS images,
            images / sum(images) OVER (PARTITION BY study, setting_source, target, label) AS share
        FROM counts JOIN datasets ON datasets.dataset = target
        ORDER BY study, setting_source, target, label, predicted
    """,
    panel=("setting_source", "target"),
    panel_title=lambda row: f"{row['target']}: {row['arm']}",
    draw=draw,
    absent="No deployed state has been scored by class.",
    legend=False,
)
