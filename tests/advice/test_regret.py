"""Means over pairs, their intervals, and the words for them."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from fastpipe.advice.evaluation import PREDICTORS, leave_one_out
from fastpipe.advice.regret import RIVALS, in_words, mean_regret, of_predictor


class TestMeanRegret:
    ROWS = (
        {"source": "p", "target": "a", "regret": 0.1, "tried": 4},
        {"source": "q", "target": "a", "regret": 0.3, "tried": 2},
        {"source": "p", "target": "b", "regret": 0.0, "tried": 3},
    )

    def test_mean_over_targets_of_means_over_sources(self):
        found = mean_regret(self.ROWS)
        assert found.mean == pytest.approx((0.2 + 0.0) / 2)
        assert (found.pairs, found.targets, found.tried) == (3, 2, 3)

    def test_interval_is_students_over_targets(self):
        rows = [
            {"source": source, "target": f"t{i}", "regret": 0.01 * i**2 + shift, "tried": 1}
            for i in range(6) for source, shift in (("p", 0.1), ("q", -0.1))
        ]  # fmt: skip
        found = mean_regret(rows)
        means = 0.01 * np.arange(6) ** 2
        slow = stats.t.interval(0.95, 5, means.mean(), stats.sem(means))
        assert (found.low, found.high) == pytest.approx(slow)
        assert (found.bootstrap_low, found.bootstrap_high) == (None, None)

    def test_from_ten_targets_on_also_bca(self):
        values = 0.01 * np.arange(10) ** 2
        rows = [
            {"source": "p", "target": f"t{i}", "regret": value, "tried": 1}
            for i, value in enumerate(values)
        ]
        found = mean_regret(rows)
        assert found.low < found.bootstrap_low < found.mean < found.bootstrap_high

    def test_difference_is_paired(self):
        other = [row | {"regret": row["regret"] + 0.05} for row in self.ROWS]
        found = mean_regret(other, minus=reversed(self.ROWS))
        assert (found.low, found.mean, found.high) == tuple(pytest.approx(0.05) for _ in range(3))

    def test_other_pairs(self):
        with pytest.raises(ValueError, match="same pairs"):
            mean_regret(self.ROWS, minus=self.ROWS[:2])
        with pytest.raises(ValueError, match="two targets"):
            mean_regret([])


def rows(grid) -> list[dict]:
    return [dataclasses.asdict(one) for one in leave_one_out(grid)]


class TestInWords:
    @pytest.mark.parametrize("predictor", ["nearest", "regression"])
    def test_says_so_if_advice_is_no_better(self, grid, predictor):
        flat = dataclasses.replace(grid, test=np.full_like(grid.test, 0.8))
        sentences = in_words(rows(flat), predictor)
        assert len(sentences) == len(RIVALS)
        assert all(" it is no better than " in one and "+0.0 points" in one for one in sentences)

    @pytest.mark.parametrize(
        ("gains", "word"),
        [((1, 2, 3, 4), "better than"), ((1, 1, 1, 9), "no better than"),
         ((-1, -2, -3, -4), "worse than")],
    )  # fmt: skip
    def test_words_follow_students_interval(self, gains, word):
        """A percentile bootstrap of (1, 1, 1, 9) is free of 0: no mean can be less than 1."""
        found = [
            {"source": "p", "target": f"t{i}", "predictor": predictor, "search": search,
             "regret": 0.1 - 0.01 * gain * (predictor == "nearest"), "tried": 1}
            for predictor in PREDICTORS for search in (False, True)
            for i, gain in enumerate(gains)
        ]  # fmt: skip
        first = in_words(found)[0]
        assert f"it is {word} the default, one recipe each: " in first
        assert f"{np.mean(gains):+.1f} points".replace("-", "−") in first

    def test_numbers_are_the_paired_difference(self, grid):
        own, default = (of_predictor(rows(grid), name, False) for name in ("nearest", "default"))
        gain = np.mean([d["regret"] - o["regret"] for o, d in zip(own, default, strict=True)])
        assert f"{100 * gain:+.1f} points" in in_words(rows(grid))[0].replace("−", "-")

    def test_bca_is_told_from_ten_targets_on(self):
        found = [
            {"source": "p", "target": f"t{i}", "predictor": predictor, "search": search,
             "regret": 0.01 * i if predictor == "nearest" else 0.03 * i, "tried": 1}
            for predictor in PREDICTORS for search in (False, True) for i in range(10)
        ]  # fmt: skip
        assert all("; BCa +" in one for one in in_words(found))
        assert not any("BCa" in one for one in in_words([r for r in found if r["target"] < "t9"]))
