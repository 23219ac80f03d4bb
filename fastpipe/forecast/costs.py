"""What work costs: seconds for each amount of it, learnt from jobs that were timed.

The time of a job is a sum, Σ amount × cost, with one set of costs for each stage. Costs are fitted
to relative errors, robustly, and drawn to first guesses, which are all there is before anything has
been timed: with little evidence a cost stays near its guess, and none becomes negative. Networks
share these costs through their multiplications, so that one that was never timed can be judged by
others; a network that was timed has besides a factor of its own.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fastpipe.forecast.past import Timed
from fastpipe.forecast.work import Work

__all__ = ["GUESS", "Costs", "fit_costs"]

GUESS = {
    "cpu": Work(jobs=1.0, runs=0.02, steps=2e-3, passes=5e-3, images=4e-5, tmacs=8.0),
    "cuda": Work(jobs=5.0, runs=0.02, steps=3e-3, passes=5e-3, images=1e-5, tmacs=0.05),
}
"""Seconds each, by device: of one core, or of one GPU."""

_TRUST = 0.3
"""A cost's guess counts as much as this part of a job in which that cost makes up all the time."""
_LARGE = 0.5
"""Relative errors beyond this count in proportion to their size, not its square."""
_MOST = 4.0
"""No job counts for more than this many times what is usual for its network."""
_ROUNDS = 8
"""Of reweighting, which settles within a few."""
_SWEEPS = 60
"""Of coordinate descent, over six costs."""


class Costs(NamedTuple):
    """Costs of a stage's work on one device."""

    costs: Work
    factors: dict[str, float]
    """Of networks that were timed."""
    jobs: int
    """How many timed jobs they rest on."""

    def seconds(self, work: Work, network: str) -> float:
        """Forecast of a job's time."""
        return self.factors.get(network, 1.0) * _sum(work, self.costs)


def fit_costs(timed: Sequence[Timed], device: str) -> Costs:
    """Costs that explain how long jobs of one stage took on a device; the guess without any."""
    guess = _at_this_speed(GUESS.get(device, GUESS["cuda"]), timed)
    costs = guess
    for _ in range(_ROUNDS if timed else 0):
        costs = _improved(costs, timed, guess)
    return Costs(costs, _factors(costs, timed), len(timed))


def _at_this_speed(guess: Work, timed: Sequence[Timed]) -> Work:
    """First guesses for a machine as fast as this one appears to be."""
    if not timed:
        return guess
    ratio = statistics.median(job.seconds / _sum(job.work, guess) for job in timed)
    speed = ratio ** (len(timed) / (len(timed) + 1))
    return Work(*(cost * speed for cost in guess))


def _improved(costs: Work, timed: Sequence[Timed], guess: Work) -> Work:
    """One round of iteratively reweighted least squares, costs in units of their guesses."""
    size = len(guess)
    normal = [[0.0] * size for _ in range(size)]
    right = [0.0] * size
    for job in timed:
        expected = _sum(job.work, costs)
        # Between relative to what was expected and to what was seen: neither slow jobs nor fast
        # ones are favoured.
        scale = math.sqrt(expected * job.seconds)
        error = abs(expected - job.seconds) / scale
        weight = min(1.0, _LARGE / error) if error else 1.0
        row = [amount * cost / scale for amount, cost in zip(job.work, guess, strict=True)]
        for i, value in enumerate(row):
            if value:
                right[i] += weight * value * job.seconds / scale
                for j, other in enumerate(row):
                    normal[i][j] += weight * value * other
    for i in range(size):
        normal[i][i] += _TRUST
        right[i] += _TRUST
    solution = _non_negative(normal, right)
    return Work(*(value * cost for value, cost in zip(solution, guess, strict=True)))


def _non_negative(normal: list[list[float]], right: list[float]) -> list[float]:
    """Minimise ½ xᵀAx − bᵀx over x ≥ 0 by coordinate descent; A is positive definite."""
    found = [1.0] * len(right)
    for _ in range(_SWEEPS):
        for i, row in enumerate(normal):
            rest = sum(a * x for a, x in zip(row, found, strict=True)) - row[i] * found[i]
            found[i] = max(0.0, (right[i] - rest) / row[i])
    return found


def _factors(costs: Work, timed: Iterable[Timed]) -> dict[str, float]:
    """By network, what its jobs took in all to what the costs say, drawn to 1 if seen seldom.

    A mean, so that sums of forecasts are right; but a machine may have slept: see `_MOST`.
    """
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for job in timed:
        pairs[job.network].append((job.seconds, _sum(job.work, costs)))
    return {network: _factor(own) for network, own in pairs.items()}


def _factor(pairs: Sequence[tuple[float, float]]) -> float:
    usual = statistics.median(seen / expected for seen, expected in pairs)
    seen = sum(min(seen, _MOST * usual * expected) for seen, expected in pairs)
    ratio = seen / sum(expected for _, expected in pairs)
    return ratio ** (len(pairs) / (len(pairs) + 1))


def _sum(work: Work, costs: Work) -> float:
    """Never 0, since others are divided by it."""
    return sum(amount * cost for amount, cost in zip(work, costs, strict=True)) or 1e-3
