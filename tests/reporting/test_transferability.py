"""The exhibits on scores of transferability, on an invented study of several targets."""

import numpy as np
import pytest
from scipy import stats

from fastpipe.reporting.charts import draw_figures
from fastpipe.reporting.drawing.registry import EXHIBITS
from fastpipe.reporting.drawing.transferability import SCORES

TARGETS = ["letters", "kanji", "clothes", "flowers", "pets", "street signs", "<b>cars</b>"]
SOURCES = {"net": 3.0, "other": 1.0}
RECIPES = {"slow": 0.1, "quick": 0.2}
"""Recipe → how much better it is on validation than on test images."""


def accuracy(source: str, target: int, recipe: str, seed: int) -> float:
    own = 0.05 * (source == "net") - 0.03 * (recipe == "quick") + 0.002 * seed
    return 0.9 - 0.06 * target + own


def statements() -> list[str]:
    """SQL that adds the sources, their runs and scores to the study `demo`."""
    rows: dict[str, list[str]] = {"arms": [], "runs": [], "scores": [], "similarity": []}
    rows["recipes"] = [f"('{recipe}')" for recipe in RECIPES]
    random = np.random.default_rng(0)
    for source, epoch in SOURCES.items():
        for number, target in enumerate(TARGETS):
            place = f"'{source}', {epoch}, '{target}'"
            for recipe, optimism in RECIPES.items():
                arm = f"'demo', 90, '{recipe}', 'other', {place}, '{recipe}', [0, 1]"
                rows["arms"].append(f"({arm})")
                for seed in (0, 1):
                    test = accuracy(source, number, recipe, seed)
                    rows["runs"].append(f"({place}, '{recipe}', {seed}, {test}, {test + optimism})")
            for score in SCORES:
                value = {"logme": -number, "leep": number}.get(score, random.normal())
                if score != "similarity":
                    rows["scores"].append(f"({place}, '{score}', {value}, 100, 0.25)")
            rows["similarity"].append(f"({place}, {number + 1}, {np.exp(-number - 1)})")
    columns = {
        "arms": "study, position, arm, role, source, epoch, target, recipe, seeds",
        "recipes": "recipe",
        "runs": "source, epoch, target, recipe, seed, final_top1, val_top1",
        "scores": "source, epoch, target, score, value, images, seconds",
        "similarity": "source, epoch, target, distance, similarity",
    }
    return [f"INSERT INTO {t} ({columns[t]}) VALUES {', '.join(own)}" for t, own in rows.items()]


def panels(tables, id: str) -> dict:
    (figure,) = draw_figures(tables, {id: EXHIBITS[id]})
    return {panel.title: panel.drawing for panel in figure.panels}


@pytest.fixture
def scored(altered):
    return lambda *more: altered(*statements(), *more)


def test_dots_are_test_accuracies_of_the_recipe_that_validation_chose(scored):
    found = panels(scored(), "scores")
    assert set(found) == {f"{name}, source {source}" for name in SCORES.values()
                          for source in SOURCES}  # fmt: skip
    dots = (
        next(iter(found["LogME, source net"]["datasets"].values()), None)
        or (found["LogME, source net"]["data"]["values"])
    )
    expected = {
        target: (-number, np.mean([accuracy("net", number, "quick", seed) for seed in (0, 1)]))
        for number, target in enumerate(TARGETS)
    }  # `slow` is better on test images, `quick` on validation images
    assert {dot["target"]: (dot["value"], pytest.approx(dot["accuracy"])) for dot in dots} == (
        expected
    )


def test_the_table_tells_scipys_coefficients(scored):
    tables = scored()
    table = panels(tables, "score-ranks")["source other"]
    values = {row["score"]: row for row in table.values}
    assert list(values) == list(SCORES)
    best = [np.mean([accuracy("other", n, "quick", s) for s in (0, 1)]) for n in range(7)]
    for score in ("nce", "knn", "similarity"):
        column = "similarity" if score == "similarity" else "value"
        sql = f"SELECT target, {column} AS x FROM {'similarity' if column != 'value' else 'scores'}"
        told = tables.rows(
            f"{sql} WHERE source = 'other'" + (f" AND score = '{score}'" * (column == "value"))
        )
        by_target = {row["target"]: row["x"] for row in told}
        x = [by_target[target] for target in TARGETS]
        assert values[score]["spearman"] == pytest.approx(stats.spearmanr(x, best).statistic)
        assert values[score]["kendall"] == pytest.approx(stats.kendalltau(x, best).statistic)
        assert values[score]["weighted"] == pytest.approx(stats.weightedtau(x, best).statistic)
        assert values[score]["spearman_low"] < values[score]["spearman_high"] or score != "nce"
    texts = {row[0]: row[1:] for row in table.rows}
    assert texts["LogME"] == ["1.00 [1.00, 1.00]"] * 3 + ["7", "0.250"]
    assert texts["LEEP"][0] == "−1.00 [−1.00, −1.00]"
    assert texts["Domain similarity"][-2:] == ["7", "–"]


@pytest.mark.parametrize("id", ["scores", "score-ranks"])
def test_three_targets_have_no_order(scored, id):
    few = "DELETE FROM runs WHERE source = 'net' AND target NOT IN ('letters', 'kanji', 'pets')"
    assert {title.split()[-1] for title in panels(scored(few), id)} == {"other"}
    assert "fewer have no order" in EXHIBITS[id].absent


def test_runs_from_scratch_do_not_count(scored):
    scratch = "UPDATE arms SET role = 'scratch' WHERE recipe = 'quick' AND source = 'net'"
    chosen = panels(scored(scratch), "scores")["LogME, source net"]
    assert "slow" in str(chosen) and "quick" not in str(chosen)


def test_an_infinite_score_is_ranked_and_not_drawn(scored):
    tables = scored("UPDATE scores SET value = 'inf' WHERE score = 'logme' AND value = 0")
    assert "letters" not in str(panels(tables, "scores")["LogME, source net"])
    table = panels(tables, "score-ranks")["source net"]
    assert next(row for row in table.rows if row[0] == "LogME")[1] == "1.00 [1.00, 1.00]"


def test_a_constant_score_has_no_coefficient(scored):
    tables = scored("UPDATE scores SET value = 1 WHERE score = 'nce'")
    table = panels(tables, "score-ranks")["source net"]
    assert next(row for row in table.rows if row[0] == "NCE")[1:4] == ["–", "–", "–"]
