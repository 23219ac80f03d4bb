"""Cautions: said of exactly the references that they are true of."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from fastpipe.advice.cautions import cautions
from fastpipe.advice.grid import Grid


def with_gains(grid: Grid, target: int, gains: list[float]) -> Grid:
    """The best rate of a target is ahead of its second best by these gains, one for each seed."""
    val, by_seed = grid.val.copy(), np.repeat(grid.val[..., None], len(gains), axis=2)
    best = grid.best(target)
    others = [i for i, p in enumerate(grid.points) if p.elr != grid.points[best].elr]
    by_seed[target, best] = grid.val[target, grid.best(target, others)] + np.array(gains)
    val[target, best] = by_seed[target, best].mean()
    return dataclasses.replace(grid, val=val, by_seed=by_seed)


def about(grid: Grid, what: str) -> list[str]:
    """Targets of the caution with these words."""
    found = [one for one in cautions(grid, 0.8) if what in one]
    return (
        found[0].removeprefix("Caution: the best rate of ").split(" is ")[0].split(", ")
        if found
        else []
    )


def test_a_best_rate_at_the_end_of_the_grid(grid):
    # The best rates of `a` and `f` are 0.003 and 1 (conftest), the ends of the grid.
    ends = [t for t, elr in zip(grid.targets, grid.best_elrs(), strict=True) if elr in (0.003, 1.0)]
    assert {"a", "f"} <= set(ends) != set(grid.targets)
    assert about(grid, "is an end of the grid (0.003 or 1)") == ends


@pytest.mark.parametrize("gains", [[0.02, 0.03, 0.04], [0.02, 0.0, 0.04], [0.01, 0.011], [0.02]])
def test_a_best_rate_within_the_noise_of_seeds(grid, gains):
    noisy = with_gains(grid, 2, gains)
    sure = len(gains) > 1 and stats.ttest_1samp(gains, 0).confidence_interval().low > 0
    assert ("c" in about(noisy, "no better than the second best")) == (not sure)


@pytest.mark.parametrize("odd", [-0.5, np.nan])
def test_only_seeds_that_both_have(grid, odd):
    sure = with_gains(grid, 2, [0.02, 0.03, 0.04])
    more = np.concatenate([sure.by_seed, sure.by_seed[..., :1]], axis=2)
    more[2, sure.best(2), 3] = odd
    found = about(dataclasses.replace(sure, by_seed=more), "no better than the second best")
    assert ("c" in found) == (not np.isnan(odd))


def test_beyond_all_references(grid):
    assert "more similar to the source than any reference (0.9500)" in cautions(grid, 0.951)[0]
    assert "less similar to the source than any reference (0.7000)" in cautions(grid, 0.69)[0]
    assert not any("extrapolation" in one for one in cautions(grid, 0.8))
