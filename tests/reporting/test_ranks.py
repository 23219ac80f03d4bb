"""Rank correlations against scipy's, their intervals against a plain loop."""

import numpy as np
import pytest
from scipy import stats

from fastpipe.reporting.ranks import _FORMULAS, COEFFICIENTS, rank_correlations

SCIPY = {
    "spearman": lambda x, y: stats.spearmanr(x, y).statistic,
    "kendall": lambda x, y: stats.kendalltau(x, y).statistic,
    "weighted": lambda x, y: stats.weightedtau(x, y).statistic,
}


def pairs(seed, n=9, ties=False):
    random = np.random.default_rng(seed)
    x = random.normal(size=n)
    y = 0.6 * x + random.normal(size=n)
    return (x.round(), y.round()) if ties else (x, y)


@pytest.mark.parametrize("name", COEFFICIENTS)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_values_are_scipys(name, ties, seed):
    x, y = pairs(seed, ties=ties)
    assert rank_correlations(x, y)[name].value == pytest.approx(SCIPY[name](x, y), abs=1e-12)


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_intervals_are_percentiles_of_scipys_values_on_resamples(name):
    x, y = pairs(3, n=7)
    found, draws = rank_correlations(x, y)[name], np.random.default_rng(0).integers(0, 7, (4000, 7))
    values = [SCIPY[name](x[d], y[d]) for d in draws if len(set(d)) > 1]
    assert (found.low, found.high) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=1e-9)


def test_a_resample_is_ranked_anew():
    x, y = pairs(1)
    draws = np.array([[0, 0, 1, 2, 2, 2, 5, 6, 6]])
    for name, formula in _FORMULAS.items():
        again = [stats.rankdata(values[draws], axis=1) for values in (x, y)]
        assert formula(*again)[0] == pytest.approx(SCIPY[name](x[draws[0]], y[draws[0]]))


def test_only_order_matters_and_infinity_has_a_place():
    x, y = pairs(2)
    x[x.argmax()] = np.inf
    plain = rank_correlations(*pairs(2))
    assert rank_correlations(x, np.exp(y)) == plain
    for name, one in rank_correlations(-x, y).items():
        if name != "weighted":
            assert one.value == pytest.approx(-plain[name].value)


def test_bounds():
    for sign in (1, -1):
        for one in rank_correlations(range(6), [sign * i for i in range(6)]).values():
            assert one == pytest.approx((sign, sign, sign))


def test_a_constant_measure_has_no_order():
    assert rank_correlations([1, 1, 1, 1], [1, 2, 3, 4]) is None
    assert rank_correlations([1, 2, 3, 4], [5, 5, 5, 5]) is None
