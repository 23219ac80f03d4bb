"""Do two measures put things in the same order? Rank correlations with bootstrap intervals."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["COEFFICIENTS", "Agreement", "rank_correlations"]

COEFFICIENTS = {
    "spearman": "Spearman’s ρ",
    "kendall": "Kendall’s τ",
    "weighted": "weighted τ",
}
"""Their names, in order."""

_RESAMPLES = 4_000


class Agreement(NamedTuple):
    """One coefficient with its 95 % interval."""

    value: float
    low: float
    high: float


def rank_correlations(x: ArrayLike, y: ArrayLike) -> dict[str, Agreement] | None:
    """Spearman's ρ, Kendall's τ-b and the weighted τ of pairs, each with a 95 % interval.

    The weighted τ (Vigna 2015) gives an exchange at ranks r and s from the top the weight
    1/(r + 1) + 1/(s + 1), the top being the largest by x and by y in turn, and averages both.
    Intervals are percentiles of a bootstrap over pairs, the same each time; resamples in which a
    measure is constant have no correlation and are left out.

    Args:
        x: n values; infinite ones are ranked like others.
        y: n values.

    Returns:
        By the names in COEFFICIENTS; None if a measure is constant.
    """
    from scipy.stats import rankdata  # slow to import, and rarely needed

    x, y = rankdata(x)[None], rankdata(y)[None]
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    n = x.shape[1]
    drawn = np.random.default_rng(0).integers(0, n, (_RESAMPLES, n))
    drawn = drawn[(np.ptp(x[0][drawn], 1) > 0) & (np.ptp(y[0][drawn], 1) > 0)]
    again = rankdata(x[0][drawn], axis=1), rankdata(y[0][drawn], axis=1)
    found = {}
    for name, coefficient in _FORMULAS.items():
        low, high = np.quantile(coefficient(*again), [0.025, 0.975])
        found[name] = Agreement(float(coefficient(x, y)[0]), float(low), float(high))
    return found


def _spearman(x: NDArray, y: NDArray) -> NDArray:
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    return (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))


def _kendall(x: NDArray, y: NDArray) -> NDArray:
    return _tau(_signs(x), _signs(y), np.ones((1, 1, 1)))


def _weighted(x: NDArray, y: NDArray) -> NDArray:
    signs = _signs(x), _signs(y)
    by_x, by_y = (
        1 / (1 + np.lexsort((second, first))[:, ::-1].argsort(1))
        for first, second in ((x, y), (y, x))
    )
    taus = [_tau(*signs, w[:, :, None] + w[:, None, :]) for w in (by_x, by_y)]
    return (taus[0] + taus[1]) / 2


_FORMULAS = {"spearman": _spearman, "kendall": _kendall, "weighted": _weighted}


def _signs(x: NDArray) -> NDArray:
    """[samples, n, n]: which of two is larger."""
    return np.sign(x[:, :, None] - x[:, None, :])


def _tau(x: NDArray, y: NDArray, weights: NDArray) -> NDArray:
    """τ-b of signs: agreeing less opposed pairs, over the geometric mean of pairs that differ."""
    together, own, other = ((a * b * weights).sum((1, 2)) for a, b in ((x, y), (x, x), (y, y)))
    return together / np.sqrt(own * other)
