"""Results by class: which arm is looked at, and that the page says what the tables do."""

import csv
import io
import json
import re

import numpy as np
import pytest

from fastpipe.reporting.charts import draw_figures, table_csv, write_chart
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.page.final_numbers import final_tables

HOSTILE = ["</script><b>", "zwei Worte", "Füße", *"3456789"]


def drawing(tables, id: str, target: str = "digits"):
    (figure,) = (one for one in draw_figures(tables) if one.exhibit.id == id)
    return next(one for one in figure.panels if one.title.startswith(target))


def matrix(tables, recipe: str, target: str = "digits") -> np.ndarray:
    """Images [true, predicted] over all seeds of a recipe at the last snapshot."""
    counts = np.zeros((10, 10))
    for row in tables.rows("FROM confusion"):
        if (row["recipe"], row["target"], row["epoch"]) == (recipe, target, 3.0):
            counts[row["label"], row["predicted"]] += row["images"]
    return counts


def prefer(recipe: str) -> str:
    return f"UPDATE runs SET val_top1 = 0.999 WHERE recipe = '{recipe}'"


@pytest.mark.parametrize(
    ("recipe", "arm"), [("warmup", "Warm-up"), ("feature-extraction", "Feature extraction")]
)
def test_cells_are_shares_of_a_row_for_the_arm_that_validation_prefers(altered, recipe, arm):
    # the test accuracy of feature extraction is the worst: it has no say
    panel = drawing(altered(prefer(recipe)), "confusion")
    assert panel.title == f"digits: {arm}"
    values = max(panel.drawing["datasets"].values(), key=len)
    counts = matrix(altered(), recipe)
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert len(values) == (counts > 0).sum()
    for cell in values:
        place = int(cell["true_class"]), int(cell["predicted_class"])
        assert cell["share"] == pytest.approx(shares[place], abs=1e-4)
        assert cell["images"] == pytest.approx(counts[place] / 5, rel=1e-3)


def test_accuracy_of_each_class_beside_its_training_images(altered):
    panel = drawing(altered(prefer("warmup")), "class-accuracy")
    rows = list(csv.DictReader(io.StringIO(table_csv(panel.drawing))))
    counts = matrix(altered(), "warmup")
    accuracy = counts.diagonal() / counts.sum(axis=1)
    assert [row["class"] for row in rows] == list("0123456789")
    assert [float(row["accuracy"]) for row in rows] == pytest.approx(accuracy.tolist())
    assert [int(row["train"]) for row in rows] == [500 - 10 * label for label in range(10)]
    assert [int(row["test"]) for row in rows] == (counts.sum(axis=1) / 5).astype(int).tolist()
    assert [row["taken_for"] for row in rows] == list("1234567890")
    assert float(rows[4]["taken_for_share"]) == pytest.approx(1 - accuracy[4])
    assert panel.drawing.rows[0][:3] == ["0", "500", "51"]


def test_more_than_forty_classes_list_the_pairs_confused_most(altered):
    names = "list_transform(range(50), lambda i: 'class ' || i)"
    tables = altered(f"UPDATE datasets SET classes = {names}", prefer("warmup"))
    table = drawing(tables, "confusion").drawing
    assert isinstance(table, Table)
    shares = [row["share"] for row in table.values]
    assert shares == sorted(shares, reverse=True) and len(shares) == 10
    assert all(row["true_class"] != row["predicted_class"] for row in table.values)
    assert table.rows[0][:2] == ["class 9", "class 0"]


def test_hostile_class_names_render_and_stay_text(altered, tmp_path):
    names = ", ".join("'" + name + "'" for name in HOSTILE)
    panel = drawing(altered(f"UPDATE datasets SET classes = [{names}]"), "confusion")
    write_chart(panel, tmp_path, ("json", "svg"))
    spec = json.loads((tmp_path / f"{panel.id}.json").read_text())
    domain = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert domain == HOSTILE
    svg = (tmp_path / f"{panel.id}.svg").read_text()
    assert "Füße" in svg and "zwei Worte" in svg and "<b>" not in svg
    assert re.search(r"&lt;/script(&gt;|>)", svg)


def test_an_image_of_no_class_has_a_column_of_its_own(altered):
    panel = drawing(altered("UPDATE confusion SET predicted = -1 WHERE predicted = 3"), "confusion")
    domain = panel.drawing["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert domain == [*"0123456789", "none"]


def headings(tables, target: str) -> list[str]:
    found = final_tables(tables, {"demo": "x"}, {})
    return [c["name"] for t in found if t["title"] == target for c in t["columns"]]


def test_balanced_accuracy_is_shown_where_it_says_something_else(altered):
    assert "balanced" in headings(altered(), "digits")
    even = altered("UPDATE runs SET balanced_accuracy = final_top1 WHERE target = 'digits'")
    assert "balanced" not in headings(even, "digits")
    assert "balanced" in headings(even, "fashion-mnist")
    assert "balanced" not in headings(altered("UPDATE runs SET balanced_accuracy = NULL"), "digits")


def test_balanced_accuracy_has_its_interval(altered):
    tables = altered()
    found = final_tables(tables, {"demo": "x"}, {})
    (digits,) = (table for table in found if table["title"] == "digits")
    place = [column["name"] for column in digits["columns"]].index("balanced")
    (row,) = (row for row in digits["rows"] if row["label"] == "FAST")
    (view,) = tables.rows("FROM final_table WHERE target = 'digits' AND arm = 'FAST'")
    cell = row["cells"][place]
    assert cell["mean"] == f"{100 * view['balanced_accuracy']:.1f}"
    assert cell["spread"] == f"± {100 * view['balanced_accuracy_half_width']:.1f}"


def test_a_column_of_which_nothing_was_measured_is_left_out(altered):
    assert "forgotten" in headings(altered(), "digits")
    unmeasured = altered("UPDATE runs SET final_forgotten = NULL WHERE target = 'digits'")
    assert "forgotten" not in headings(unmeasured, "digits")
    assert "forgotten" in headings(unmeasured, "fashion-mnist")
