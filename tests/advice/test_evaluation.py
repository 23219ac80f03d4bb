"""Leave one target out: nothing of it leaks, and regrets are what a slow formula says."""

import dataclasses
import itertools

import numpy as np
import pytest

from fastpipe.advice.evaluation import PREDICTORS, advise, leave_one_out
from fastpipe.advice.grid import Grid
from fastpipe.advice.regret import mean_regret


def rows(grid: Grid) -> list[dict]:
    return [dataclasses.asdict(one) for one in leave_one_out(grid)]


def poisoned(grid: Grid, target: str) -> Grid:
    """The same grid, but nonsense for one target: its best point is its worst, on both splits."""
    val, test = grid.val.copy(), grid.test.copy()
    place = grid.targets.index(target)
    val[place], test[place] = 100 * (1 - val[place]), 100 * (1 - test[place])
    return dataclasses.replace(grid, val=val, test=test)


def predictions(grid: Grid, target: str) -> list[tuple]:
    """What was predicted for a target, and taken unseen."""
    return [
        (row["predictor"], row["low"], row["high"], row["point"])
        + ((row["recipe"],) if not row["search"] else ())
        for row in rows(grid)
        if row["target"] == target
    ]


class TestLeakage:
    @pytest.mark.parametrize("target", "abcdef")
    def test_predictions_do_not_depend_on_the_left_out_target(self, grid, target):
        assert predictions(grid, target) == predictions(poisoned(grid, target), target)

    @pytest.mark.parametrize("target", "abcdef")
    def test_which_would_show_if_it_were_seen(self, grid, target, monkeypatch):
        monkeypatch.setattr(Grid, "without", lambda self, target: self)
        assert predictions(grid, target) != predictions(poisoned(grid, target), target)

    def test_test_accuracies_change_no_choice(self, grid):
        other = dataclasses.replace(grid, test=1 - grid.test)
        chosen = [(row["predictor"], row["search"], row["recipe"]) for row in rows(grid)]
        assert chosen == [(row["predictor"], row["search"], row["recipe"]) for row in rows(other)]
        assert rows(grid) != rows(other)

    def test_without_removes_every_trace(self, grid):
        left = grid.without("c")
        assert left.targets == ("a", "b", "d", "e", "f")
        for name in ("similarity", "val", "test", "by_seed"):
            kept = np.delete(getattr(grid, name), 2, axis=0)
            np.testing.assert_array_equal(getattr(left, name), kept)
        assert len(left.recipes) == 5
        with pytest.raises(ValueError):
            left.without("c")


class TestRegret:
    def test_every_predictor_on_every_target_with_and_without_a_search(self, grid):
        found = [(row["target"], row["predictor"], row["search"]) for row in rows(grid)]
        assert sorted(found) == sorted(itertools.product(grid.targets, PREDICTORS, (False, True)))

    def test_is_that_of_the_recipe_chosen(self, grid):
        for row in rows(grid):
            if row["recipe"] is None:
                continue
            place = grid.targets.index(row["target"])
            full = max(range(len(grid.points)), key=lambda i: grid.val[place, i])
            chosen = grid.recipes[place].index(row["recipe"])
            expected = grid.test[place, full] - grid.test[place, chosen]
            assert row["regret"] == pytest.approx(expected)
            assert row["best_elr"] == grid.points[full].elr

    def test_search_takes_the_best_validated_of_the_range(self, grid):
        for row in rows(grid):
            if not row["search"] or row["recipe"] is None:
                continue
            place = grid.targets.index(row["target"])
            inside = [
                i for i, p in enumerate(grid.points)
                if row["low"] <= p.elr * (1 + 1e-9) and p.elr <= row["high"] * (1 + 1e-9)
            ]  # fmt: skip
            if not inside:  # a narrow range between two rates of the grid: both at the nearest
                assert row["predictor"] == "regression" and row["tried"] == 2
                continue
            assert row["tried"] == len(inside)
            best = max(inside, key=lambda i: grid.val[place, i])
            assert row["recipe"] == grid.recipes[place][best]

    def test_default_without_a_search_is_the_default(self, grid):
        found = [row for row in rows(grid) if row["predictor"] == "default" and not row["search"]]
        assert {row["recipe"] for row in found} == {grid.points[grid.default].arm}
        assert {row["tried"] for row in found} == {1}

    def test_random_search_is_the_mean_over_all_subsets(self, grid):
        for row in rows(grid):
            if row["predictor"] != "random":
                continue
            place = grid.targets.index(row["target"])
            subsets = list(itertools.combinations(range(len(grid.points)), row["tried"]))
            chosen = [max(own, key=lambda i: grid.val[place, i]) for own in subsets]
            full = max(range(len(grid.points)), key=lambda i: grid.val[place, i])
            expected = grid.test[place, full] - grid.test[place, chosen].mean()
            assert row["regret"] == pytest.approx(expected)

    def test_random_search_tries_as_many_as_the_papers_rule(self, grid):
        tried = {(r["target"], r["predictor"]): r["tried"] for r in rows(grid) if r["search"]}
        for target in grid.targets:
            assert tried[target, "random"] == tried[target, "nearest"]

    def test_good_advice_is_found_good(self, grid):
        regret = {
            (name, search): mean_regret(
                [r for r in rows(grid) if r["predictor"] == name and r["search"] == search]
            ).mean
            for name in PREDICTORS for search in (False, True)
        }  # fmt: skip
        assert regret["regression", False] < regret["default", False]
        assert regret["nearest", False] < regret["random", False]
        assert regret["nearest", True] <= regret["nearest", False]


class TestAdvise:
    def test_recommends_the_point_that_was_best_on_the_references(self, grid):
        chosen = grid.recommended(0.12)
        assert grid.points[chosen].elr == 0.1
        assert grid.points[chosen].weight_decay == 0.005

    def test_range_between_two_points_of_the_grid(self, grid):
        assert {grid.points[i].elr for i in grid.within(0.012, 0.02)} == {0.01}

    def test_a_new_target_like_an_old_one(self, grid):
        found = advise(grid, 0.7)
        assert found["nearest"].holds(1.0) and found["nearest"].point == 1.0
        assert found["regression"].point > 0.5
        assert found["median"] == advise(grid, 0.9)["median"] != found["nearest"]
