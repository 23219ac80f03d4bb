"""LogME: how probable are the labels, given the features and a linear model?

You et al., "LogME: Practical assessment of pre-trained models for transfer learning" (ICML 2021),
section 4. For one class let y ∈ {0, 1}ⁿ say which images show it, and let

    y | w ~ N(F w, β⁻¹ I),    w ~ N(0, α⁻¹ I),    so    y ~ N(0, β⁻¹ I + α⁻¹ F Fᵀ).

Its score is the greatest log density of y over α, β > 0 (the evidence), divided by n; LogME is the
mean over classes. In units of nats per image; it may be positive, since it is a density's.

With t = α/β and F = U Σ Vᵀ the best β for a given t is known, β = n / S(t), and there remains

    log p(y | t) = −n/2 log(2π S(t) / n) − n/2 − ½ Σⱼ log(1 + σⱼ²/t),
    S(t) = Σⱼ (uⱼᵀy)² t / (t + σⱼ²) + ‖y − U Uᵀy‖²,

a function of one variable, maximised here for all classes at once: on a grid, then by golden
section. The sums run over the min(n, D) singular values that there are, which is right for n < D
too; fixed-point iterations, as published, can end at one of several maxima, and public code takes
D of them where there are only n.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastpipe.similarity.labelled import labelled

__all__ = ["logme"]

_STEP = math.log(10) / 4
_REFINEMENTS = 40  # golden sections of two steps: log t to 1e-8, its effect on the maximum squared
_GOLDEN = (math.sqrt(5) - 1) / 2


def logme(features: ArrayLike, labels: ArrayLike) -> float:
    """Mean over classes of the greatest log evidence, by image [nats].

    Args:
        features: [n, D].
        labels: integers [n]; classes are the labels that occur.

    Returns:
        The score; infinite if the features give a class exactly (as a linear function, with fewer
        degrees of freedom than images), when the evidence has no bound.

    Raises:
        UserError: a feature is not finite, or there is only one class.
        ValueError: shapes do not fit together.
    """
    data = labelled(features, labels)
    y = data.indicators
    squares, projections, rest = _spectrum(data.features, y)
    if len(squares) < len(y) and (rest == 0).any():
        return math.inf
    evidence = _Evidence(squares, projections, rest, len(y))
    grid = _grid(squares)
    best = evidence.on_grid(grid).argmax(1)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    return float(_maximum(evidence, low, high).mean() / len(y))


def _spectrum(F: NDArray, y: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """(σ² [r], (uᵀy)² [classes, r], ‖y − U Uᵀy‖² [classes]), r the rank of F."""
    U, sigma, _ = np.linalg.svd(F, full_matrices=False)
    noise = np.finfo(float).eps * max(F.shape)
    rank = int((sigma > noise * sigma[0]).sum())
    U, sigma = U[:, :rank], sigma[:rank]
    z = U.T @ y
    rest = np.square(y - U @ z).sum(0)
    if rank == len(F):
        rest[:] = 0.0
    rest[rest <= noise**2 * y.sum(0)] = 0.0  # nothing but rounding
    return sigma**2, np.square(z).T, rest


def _grid(squares: NDArray) -> NDArray:
    """Values of log t from where the prior hardly matters to where only the prior does."""
    if not squares.size:
        return np.zeros(1)
    low, high = math.log(squares[-1] * 1e-14), math.log(squares[0] * 1e14)
    return np.arange(low, high + _STEP, _STEP)


class _Evidence:
    """log p(y | t), β at its best, of every class."""

    def __init__(self, squares: NDArray, projections: NDArray, rest: NDArray, images: int):
        self.squares, self.projections, self.rest = squares, projections, rest
        self.images = images

    def on_grid(self, grid: NDArray) -> NDArray:
        """[classes, points]: every class at the same points log t."""
        ratios = self.squares[:, None] / np.exp(grid)
        misfit = self.projections @ (1 / (1 + ratios)) + self.rest[:, None]
        return self._value(misfit, np.log1p(ratios).sum(0))

    def at(self, points: NDArray) -> NDArray:
        """[classes]: every class at its own point log t."""
        ratios = self.squares / np.exp(points)[:, None]
        misfit = (self.projections / (1 + ratios)).sum(1) + self.rest
        return self._value(misfit, np.log1p(ratios).sum(1))

    def _value(self, misfit: NDArray, determinant: NDArray) -> NDArray:
        n = self.images
        return -n / 2 * (np.log(2 * np.pi * misfit / n) + 1) - determinant / 2


def _maximum(evidence: _Evidence, low: NDArray, high: NDArray) -> NDArray:
    """Greatest evidence of each class between its two points: golden section."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = evidence.at(left), evidence.at(right)
    for _ in range(_REFINEMENTS):
        leftwards = at_left > at_right
        low, high = np.where(leftwards, low, left), np.where(leftwards, right, high)
        new = np.where(leftwards, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_new = evidence.at(new)
        left, right = np.where(leftwards, new, right), np.where(leftwards, left, new)
        at_left, at_right = (
            np.where(leftwards, at_new, at_right),
            np.where(leftwards, at_left, at_new),
        )
    return np.maximum(at_left, at_right)
