"""The exhibit on advice: it shows what the table `advice` says."""

import numpy as np
import pytest

from fastpipe.advice.evaluation import PREDICTORS
from fastpipe.advice.paper import score_table
from fastpipe.reporting.charts import draw_figures
from fastpipe.reporting.drawing.registry import EXHIBITS
from fastpipe.reporting.summary import summarise
from fastpipe.reporting.tables import Tables


@pytest.fixture
def opened(grid_study, tmp_path):
    made = []

    def open_study(**changes) -> Tables:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        (folder / "own").mkdir()
        made.append(
            Tables(grid_study.write_grid_study(folder / "a.duckdb", **changes), folder / "own")
        )
        return made[-1]

    yield open_study
    for tables in made:
        tables.__exit__()


def test_ranges_of_each_source_and_one_table(opened, grid_study):
    tables = opened()
    (figure,) = draw_figures(tables)
    assert [panel.title for panel in figure.panels] == [
        "from other", "from src", "Regret over all pairs, in percentage points",
    ]  # fmt: skip
    spec = figure.panels[1].drawing
    (data,) = spec["datasets"].values()
    drawn = {(row["target"], row["predictor"]): row for row in data}
    assert len(drawn) == 2 * len(grid_study.SIMILARITY)
    for (target, predictor), row in drawn.items():
        (expected,) = tables.rows(
            "FROM advice WHERE source = 'src' AND search AND target = ? AND predictor = ?",
            [target, predictor],
        )
        for name in ("low", "high", "point", "best_elr", "similarity"):
            assert row[name] == pytest.approx(expected[name], rel=1e-5)
    domain = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert [label[0] for label in domain] == list(grid_study.SIMILARITY)


def test_regrets_are_means_over_pairs(opened):
    tables = opened()
    (figure,) = draw_figures(tables)
    (table,) = figure.tables.values()
    for row in table.values:
        for measure, search in (("unseen", False), ("searched", True)):
            own, default = (
                np.array([one["regret"] for one in tables.rows(
                    "SELECT regret FROM advice WHERE predictor = ? AND search = ? "
                    "ORDER BY source, target", [name, flag])])
                for name, flag in ((row["predictor"], search), ("default", False))
            )  # fmt: skip
            assert row[measure] == pytest.approx(own.mean())
            if not search:
                assert row["gain"] == pytest.approx((default - own).mean())
        assert row["pairs"] == 12
    words = {row[0]: row[2] for row in table.rows}
    assert words["always the default"] == "–"
    for row in table.values:
        if row["predictor"] != "default":
            low, high = row["gain_low"], row["gain_high"]
            word = ", better" if low > 0 else ", worse" if high < 0 else ", no better"
            assert words[PREDICTORS[row["predictor"]]].endswith(word)


def test_what_the_rules_make_of_the_papers_own_table():
    right = {one.rule: one.right for one in score_table() if one.column == "all"}
    assert f"the paper’s rule in {right['nearest']} of 35" in EXHIBITS["advice"].paper
    assert f"falling line in {right['regression']} of 35" in EXHIBITS["advice"].paper


def test_the_summary_says_if_advice_is_no_better(opened):
    """If every target has the same best rate, and the default is it, nothing can be gained."""
    tables = opened(slope=0.0)
    (said,) = (one.text for one in summarise(tables, []) if one.heading == "Advice")
    assert "Without a search it is no better than the default, one recipe each:" in said
    clear = opened(slope=4.0, default=(0.3, 0.9, 0.005))
    (better,) = (one.text for one in summarise(clear, []) if one.heading == "Advice")
    assert "Without a search it is better than the default" in better


def test_a_study_that_does_not_ask_says_nothing(opened):
    tables = opened(exhibits=("similarity",))
    assert not [one for one in summarise(tables, []) if one.heading == "Advice"]
