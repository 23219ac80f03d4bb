"""How well each class is recognised, beside how many images it was learnt from."""

from collections.abc import Sequence

from fastpipe.reporting.drawing.best_arm import best_arm
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.numbers import percent, plus_minus
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

MOST_CLASSES = 40
"""At most so many classes are shown: those recognised worst."""


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """A row for each class, in the dataset's order."""
    del arms
    worst = sorted(rows, key=lambda row: row["accuracy"])[:MOST_CLASSES]
    shown = [row for row in rows if row in worst]
    columns = ("class", "train", "test", "accuracy", "accuracy_half_width", "taken_for",
               "taken_for_share", "seeds")  # fmt: skip
    return Table(
        columns=["class", "training images", "test images", "accuracy, %", "most often taken for"],
        rows=[_cells(row) for row in shown],
        values=[{name: row[name] for name in columns} for row in rows],
    )


def _cells(row: Row) -> list[str]:
    mistake = "–"
    if row["taken_for"] is not None:
        mistake = f"{row['taken_for']} ({percent(row['taken_for_share'])})"
    return [
        row["class"],
        "–" if row["train"] is None else f"{row['train']:,}",
        f"{row['test']:,}",
        plus_minus(row["accuracy"], row["accuracy_half_width"], "percent"),
        mistake,
    ]


EXHIBIT = Exhibit(
    id="class-accuracy",
    place=13,
    short="By class",
    title="How well is each class recognised?",
    lede=(
        "A class with few training images is often the one that is recognised worst. Balanced "
        "accuracy is the mean of the column, whatever the sizes of the classes."
    ),
    paper="It is in no paper.",
    here=(
        "The arm with the best mean accuracy on the validation split, its state deployed at the "
        "last checkpoint, test images; mean ± half the width of the 95 % interval over seeds. At "
        f"most {MOST_CLASSES} classes, those recognised worst; the CSV file has all."
    ),
    query=f"""
        WITH {best_arm()},
        cells AS (
            SELECT best_runs.* EXCLUDE (images), label, predicted, confusion.images
            FROM best_runs JOIN confusion USING (source, epoch, target, recipe, seed)
        ),
        recalls AS (
            SELECT study, setting_source, target, arm, any_value(seeds) AS seeds, label, seed,
                sum(images) AS test,
                coalesce(sum(images) FILTER (label = predicted), 0) / sum(images) AS recall
            FROM cells GROUP BY study, setting_source, target, arm, label, seed
        ),
        mistakes AS (
            SELECT study, setting_source, target, label, predicted, sum(images) AS images
            FROM cells WHERE label <> predicted
            GROUP BY study, setting_source, target, label, predicted
        ),
        worst AS (
            SELECT study, setting_source, target, label,
                arg_max(predicted, (images, -predicted)) AS predicted, max(images) AS images
            FROM mistakes GROUP BY study, setting_source, target, label
        ),
        classed AS (
            SELECT study, setting_source, target, arm, label, any_value(seeds) AS seeds,
                any_value(test)::BIGINT AS test_images, avg(recall) AS accuracy,
                half_width95(recall) AS accuracy_half_width
            FROM recalls GROUP BY study, setting_source, target, arm, label
        ),
        named AS (
            SELECT dataset AS target, classes,
                CAST(card->'$.per_class.train' AS BIGINT[]) AS per_class
            FROM datasets
        )
        SELECT study, setting_source, target, arm, seeds, classes[label + 1] AS class,
            list_extract(per_class, label + 1) AS train, test_images AS test,
            accuracy, accuracy_half_width,
            CASE WHEN predicted < 0 THEN 'none' ELSE classes[predicted + 1] END AS taken_for,
            images / (seeds * test_images) AS taken_for_share
        FROM classed
        JOIN named USING (target)
        LEFT JOIN worst USING (study, setting_source, target, label)
        ORDER BY study, setting_source, target, label
    """,
    panel=("setting_source", "target"),
    panel_title=lambda row: f"{row['target']}: {row['arm']}",
    draw=draw,
    absent="No deployed state has been scored by class.",
    legend=False,
    layout="rows",
)
