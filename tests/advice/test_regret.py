"""Means over pairs, their intervals, and the words for them."""

import dataclasses

import numpy as np
import pytest

from fastpipe.advice.evaluation import leave_one_out
from fastpipe.advice.regret import RIVALS, in_words, mean_regret, of_predictor


class TestMeanRegret:
    ROWS = (
        {"source": "p", "target": "a", "regret": 0.1, "tried": 4},
        {"source": "q", "target": "a", "regret": 0.3, "tried": 2},
        {"source": "p", "target": "b", "regret": 0.0, "tried": 3},
    )

    def test_mean_over_pairs(self):
        found = mean_regret(self.ROWS)
        assert found.mean == pytest.approx(0.4 / 3)
        assert (found.pairs, found.targets, found.tried) == (3, 2, 3)

    def test_interval_resamples_targets(self):
        # Only (a, a), (a, b), (b, b) can be drawn.
        found = mean_regret(self.ROWS)
        assert (found.low, found.high) == (0.0, pytest.approx(0.2))

    def test_difference_is_paired(self):
        other = [row | {"regret": row["regret"] + 0.05} for row in self.ROWS]
        found = mean_regret(other, minus=reversed(self.ROWS))
        assert (found.low, found.mean, found.high) == tuple(pytest.approx(0.05) for _ in range(3))

    def test_other_pairs(self):
        with pytest.raises(ValueError, match="same pairs"):
            mean_regret(self.ROWS, minus=self.ROWS[:2])
        with pytest.raises(ValueError, match="at least one"):
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

    def test_better_and_worse(self, grid):
        good = in_words(rows(grid), "regression")[0]
        assert good.startswith("Without a search it is better than the default, one recipe each: +")
        bad = dataclasses.replace(grid, test=1 - grid.test)
        worse = in_words(rows(bad), "regression")[0]
        assert " is worse than the default, one recipe each: −" in worse

    def test_numbers_are_the_paired_difference(self, grid):
        own, default = (of_predictor(rows(grid), name, False) for name in ("nearest", "default"))
        gain = np.mean([d["regret"] - o["regret"] for o, d in zip(own, default, strict=True)])
        assert f"{100 * gain:+.1f} points" in in_words(rows(grid))[0].replace("−", "-")
