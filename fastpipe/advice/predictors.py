"""Which effective learning rate does a target need? Predicted from its similarity to the source.

Li et al. (ICLR 2020, section 3.3, "Optimal ELR selection based on domain similarity"): search a
grid on a few reference targets; for a new one, take the range of rates of the reference whose
similarity is closest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = [
    "LEVEL",
    "Prediction",
    "Reference",
    "decade",
    "median_reference",
    "monotone_regression",
    "nearest_reference",
]

LEVEL = 0.8
"""Nominal coverage of the regression's interval; its guarantee is only 2 · LEVEL − 1."""


class Reference(NamedTuple):
    """A target on which a grid has been searched."""

    target: str
    similarity: float
    elr: float
    """Effective learning rate η/(1 − m) of its best point."""


@dataclass(frozen=True)
class Prediction:
    """A range of effective learning rates, ends included, and one of them."""

    low: float
    high: float
    point: float

    def holds(self, elr: float) -> bool:
        """Whether a rate lies in the range."""
        return self.low * (1 - 1e-9) <= elr <= self.high * (1 + 1e-9)


Span = tuple[float, float]
"""The smallest and the largest rate of the grid."""


def decade(elr: float, span: Span) -> tuple[float, float]:
    """The decade [10^k, 10^(k+1)] of a rate, of those that a grid spans.

    The paper names [0.001, 0.01], [0.01, 0.1] and [0.1, 1]. A rate where two meet (0.01) belongs
    to the lower one: the smaller rate is the safer one to try; 0.001 begins the first.
    """
    first, last = (round(math.log10(end), 9) for end in span)
    lowest, highest = math.floor(first), max(math.ceil(last) - 1, math.floor(first))
    k = min(max(math.ceil(round(math.log10(elr), 9)) - 1, lowest), highest)
    return float(f"1e{k}"), float(f"1e{k + 1}")


def nearest_reference(references: Sequence[Reference], similarity: float, span: Span) -> Prediction:
    """The paper's rule: the decade of the best rate of the most similarly placed reference.

    The point is that reference's own best rate. Of two as near, the first by name.

    Args:
        references: searched targets of the same source, measured with the same features.
        similarity: of the new target to the source.
        span: the smallest and the largest rate of the grid.

    Raises:
        ValueError: there are no references.
    """
    nearest = min(references, key=lambda r: (abs(r.similarity - similarity), r.target))
    low, high = decade(nearest.elr, span)
    return Prediction(low, high, min(max(nearest.elr, low), high))


def median_reference(references: Sequence[Reference], similarity: float, span: Span) -> Prediction:
    """What one would take without any similarity: the decade of the references' median rate.

    Arguments and errors as :func:`nearest_reference`; `similarity` is not looked at.
    """
    del similarity
    middle = 10 ** float(np.median([math.log10(r.elr) for r in references]))
    return Prediction(*decade(middle, span), middle)


def monotone_regression(
    references: Sequence[Reference], similarity: float, span: Span, level: float = LEVEL
) -> Prediction:
    """log10 of the best rate as a straight line in similarity that does not rise.

    A line, not isotonic steps: a handful of references leaves two or three steps, which jump at
    arbitrary places and cannot say anything beyond the outermost reference. A rising least-squares
    line is replaced by the references' mean, which is then the best that does not rise.

    The range is the jackknife+ interval (Barber et al. 2021, "Predictive inference with the
    jackknife+"), which assumes nothing of the errors but that targets are exchangeable. It covers
    at least 2·`level` − 1 of new targets, usually about `level`. With too few references for any
    interval (fewer than 4 at 0.8) it is the grid's whole span. It is cut off at the span.

    Args, Raises: as :func:`nearest_reference`; level: nominal coverage, in (0.5, 1).
    """
    if not references:
        raise ValueError("there are no references")
    x = np.array([reference.similarity for reference in references])
    y = np.log10([reference.elr for reference in references])
    ends = np.log10(span)
    point = _falling_line(x, y, similarity)
    low, high = _jackknife_plus(x, y, similarity, level) or ends
    low, high, point = (10 ** float(np.clip(value, *ends)) for value in (low, high, point))
    return Prediction(min(low, point), max(high, point), point)


def _falling_line(x: np.ndarray, y: np.ndarray, at: float) -> float:
    """Least squares among lines with a slope of at most 0."""
    away = x - x.mean()
    spread = float(away @ away)
    slope = min(0.0, float(away @ y) / spread) if spread > 0 else 0.0
    return float(y.mean()) + slope * (at - float(x.mean()))


def _jackknife_plus(
    x: np.ndarray, y: np.ndarray, at: float, level: float
) -> tuple[float, float] | None:
    """Equation 1.4 of Barber et al.; None if n is too small for a finite interval."""
    n = len(x)
    rank = math.ceil(round(level * (n + 1), 9))
    if rank > n or n < 2:
        return None
    left = [_falling_line(np.delete(x, i), np.delete(y, i), at) for i in range(n)]
    residuals = [
        abs(y[i] - _falling_line(np.delete(x, i), np.delete(y, i), x[i])) for i in range(n)
    ]
    lows = sorted(guess - off for guess, off in zip(left, residuals, strict=True))
    highs = sorted(guess + off for guess, off in zip(left, residuals, strict=True))
    return lows[n - rank], highs[rank - 1]
