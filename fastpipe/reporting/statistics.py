"""The statistics that claims name: from rows of a query to an estimate, its interval and its p.

Each statistic knows which side is the paper's and says on which side its estimate lies; what
follows from p and side is decided in one other place (:mod:`fastpipe.reporting.claims.judging`).
"""

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from scipy import special

__all__ = [
    "LEVEL",
    "Equivalence",
    "Estimate",
    "ExactCheck",
    "Interaction",
    "NonInferiority",
    "PairedDifference",
    "RankCorrelation",
    "Ratio",
    "Slope",
    "Statistic",
]

LEVEL = 0.05
PAIRS_FOR_BOOTSTRAP = 10
RESAMPLES = 9_999
NOTHING = 1e-12
"""What rounding leaves of a difference between equal numbers, relative to their size."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Estimate:
    """What the runs say about one contrast."""

    pairs: int
    """Pairs of runs; of a rank correlation points; of an exact check values."""
    value: float | None
    low: float | None
    """Lower end of the 95 % interval; None with fewer than two pairs. Of an exact check: the
    smallest value found."""
    high: float | None
    effect_size: float | None
    """Mean over standard deviation (Cohen's d_z); None if the differences are all the same."""
    holds: bool
    """Whether the estimate lies on the paper's side."""
    p: float | None
    """p of the test that it really lies on that side; None if undefined: fewer than two pairs,
    differences that are all zero, or an exact check."""
    bootstrap_low: float | None = None
    """Lower end of the 95 % BCa bootstrap interval; None with fewer than ten pairs."""
    bootstrap_high: float | None = None


class Statistic(ABC):
    """A way to make one estimate out of the rows of one contrast."""

    name: ClassVar[str]
    reference: float = 0.0
    """Where "no effect" lies, or the expected value."""
    margin: float = 0.0
    """How far from the reference is near enough; 0 where no margin is stated."""
    logarithmic: ClassVar[bool] = False
    """Whether equal ratios, not equal differences, are equally far apart."""
    exact: ClassVar[bool] = False
    """Whether it has neither chance nor p."""
    fewest_pairs: ClassVar[int] = 2
    """With fewer pairs it can say nothing."""

    @abstractmethod
    def __call__(self, rows: Rows) -> Estimate:
        """The estimate from rows with `seed` and `value`, or `seed`, `x` and `y`."""


# --- differences paired by seed -------------------------------------------------------------------


class PairedDifference(Statistic):
    """Mean of differences paired by seed; the paper expects it above 0. Two-sided t test."""

    name = "paired difference"

    def __call__(self, rows: Rows) -> Estimate:
        values = _values(rows)
        found = _mean(values)
        if found.value is None:
            return found
        return replace(found, holds=found.value >= 0, p=_two_sided(values, 0.0))


class Interaction(PairedDifference):
    """Mean difference of differences paired by seed, expected above 0."""

    name = "interaction"


@dataclass(frozen=True)
class NonInferiority(Statistic):
    """Mean paired difference, expected above −margin ("no worse"). One-sided t test."""

    margin: float = 0.0
    name = "non-inferiority"

    def __call__(self, rows: Rows) -> Estimate:
        values = _values(rows)
        found = _mean(values)
        if found.value is None:
            return found
        holds = found.value > -self.margin
        return replace(found, holds=holds, p=_one_sided(values, -self.margin, above=holds))


@dataclass(frozen=True)
class Equivalence(Statistic):
    """Mean paired difference, expected within margin of a value ("no difference").

    Two one-sided tests (Schuirmann 1987). That it lies outside is tested at the nearer bound,
    p doubled since there are two.
    """

    margin: float
    reference: float = 0.0
    name = "equivalence"

    def __call__(self, rows: Rows) -> Estimate:
        values = _values(rows)
        found = _mean(values)
        if found.value is None:
            return found
        low, high = self.reference - self.margin, self.reference + self.margin
        holds = low < found.value < high
        if holds:
            bounds = _one_sided(values, low, above=True), _one_sided(values, high, above=False)
            p = None if None in bounds else max(bounds)
        else:
            above = found.value >= high
            p = _one_sided(values, high if above else low, above=above)
            p = None if p is None else min(1.0, 2 * p)
        return replace(found, holds=holds, p=p)


class Ratio(Statistic):
    """Geometric mean of ratios paired by seed, expected above 1. t test on their logarithms."""

    name = "ratio"
    reference = 1.0
    logarithmic = True

    def __call__(self, rows: Rows) -> Estimate:
        values = _values(rows)
        if (values <= 0).any():
            raise ValueError(f"ratios must be positive, got {values.tolist()}")
        logs = [{"value": math.log(value)} for value in values]
        found = PairedDifference()(logs)
        ends = ("value", "low", "high", "bootstrap_low", "bootstrap_high")
        return replace(found, **{name: _exp(getattr(found, name)) for name in ends})


@dataclass(frozen=True)
class Slope(Statistic):
    """Least-squares slope of y on x for each seed; their mean expected within margin of a value."""

    reference: float
    margin: float
    name = "slope"

    def __call__(self, rows: Rows) -> Estimate:
        points: dict[Any, list[tuple[float, float]]] = defaultdict(list)
        for row in rows:
            if row["x"] is not None and row["y"] is not None:
                points[row["seed"]].append((row["x"], row["y"]))
        slopes = [_slope(np.array(own)) for own in points.values()]
        values = [{"value": slope} for slope in slopes if slope is not None]
        return Equivalence(self.margin, self.reference)(values)


def _slope(points: np.ndarray) -> float | None:
    """Slope through points (x, y); None if they share one x."""
    x, y = points[:, 0] - points[:, 0].mean(), points[:, 1]
    spread = float(x @ x)
    return float(x @ y) / spread if spread > NOTHING else None


# --- others ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RankCorrelation(Statistic):
    """Spearman's ρ or Kendall's τ of x and y over all points, expected above 0.

    Intervals by Fisher's z, with the variance of Bonett & Wright (2000) for ρ and of Fieller,
    Hartley & Pearson (1957) for τ; p as scipy's.
    """

    kind: Literal["spearman", "kendall"] = "spearman"
    name = "rank correlation"
    fewest_pairs = 5

    def __call__(self, rows: Rows) -> Estimate:
        points = [(r["x"], r["y"]) for r in rows if r["x"] is not None and r["y"] is not None]
        n = len(points)
        x, y = np.array(points, dtype=float).reshape(n, 2).T
        if n < self.fewest_pairs or np.ptp(x) == 0 or np.ptp(y) == 0:
            return Estimate(n, None, None, None, None, True, None)
        rank, p = self._correlate(x, y)
        low, high = self._interval(rank, n)
        found = Estimate(n, rank, low, high, rank, rank >= 0, p)
        if n < PAIRS_FOR_BOOTSTRAP:
            return found
        ends = _bootstrap((x, y), lambda x, y: self._correlate(x, y)[0])
        return replace(found, bootstrap_low=ends[0], bootstrap_high=ends[1])

    def _correlate(self, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        from scipy import stats  # slow to import, and rarely needed

        test = stats.spearmanr if self.kind == "spearman" else stats.kendalltau
        found = test(x, y)
        return float(found.statistic), float(found.pvalue)

    def _interval(self, rank: float, n: int) -> tuple[float, float]:
        if self.kind == "spearman":
            error = math.sqrt((1 + rank**2 / 2) / (n - 3))
        else:
            error = math.sqrt(0.437 / (n - 4))
        if abs(rank) >= 1:
            return rank, rank
        half = float(special.ndtri(1 - LEVEL / 2)) * error
        return math.tanh(math.atanh(rank) - half), math.tanh(math.atanh(rank) + half)


@dataclass(frozen=True)
class ExactCheck(Statistic):
    """Every value must lie within a tolerance of what the theory says; no chance, no p.

    The estimate is the value furthest away, its "interval" the smallest and the largest.
    """

    reference: float
    margin: float
    """The tolerance."""
    name = "exact check"
    exact = True
    fewest_pairs = 1

    def __call__(self, rows: Rows) -> Estimate:
        values = _values(rows)
        if not len(values):
            return Estimate(0, None, None, None, None, True, None)
        away = np.abs(values - self.reference)
        worst, holds = float(values[away.argmax()]), bool(away.max() <= self.margin)
        return Estimate(
            len(values), worst, float(values.min()), float(values.max()), None, holds, None
        )


# --- pieces ---------------------------------------------------------------------------------------


def _values(rows: Rows) -> np.ndarray:
    """Values that are there. Raises ValueError for one that is not finite."""
    values = np.array([row["value"] for row in rows if row["value"] is not None], dtype=float)
    if not np.isfinite(values).all():
        raise ValueError(f"values must be finite, got {values.tolist()}")
    return values


def _mean(values: np.ndarray) -> Estimate:
    """Mean, its 95 % Student-t interval and effect size; side and p are still to be filled in."""
    n = len(values)
    if n < 2:
        return Estimate(n, float(values[0]) if n else None, None, None, None, True, None)
    mean, deviation = float(values.mean()), _deviation(values)
    if deviation == 0:
        return Estimate(n, mean, mean, mean, None, True, None)
    half = float(special.stdtrit(n - 1, 1 - LEVEL / 2)) * deviation / math.sqrt(n)
    low, high = _bootstrap((values,), np.mean) if n >= PAIRS_FOR_BOOTSTRAP else (None, None)
    return Estimate(n, mean, mean - half, mean + half, mean / deviation, True, None, low, high)


def _deviation(values: np.ndarray) -> float:
    """Sample standard deviation; 0 if the values differ only by rounding."""
    deviation = float(values.std(ddof=1))
    return deviation if deviation > NOTHING * max(1.0, abs(float(values.mean()))) else 0.0


def _one_sided(values: np.ndarray, bound: float, *, above: bool) -> float | None:
    """p of "the mean is not above (below) the bound".

    Values that are all the same have p = 0 or 1, the limit of t as their spread vanishes; if they
    are the bound itself, p is undefined.
    """
    n = len(values)
    if n < 2:
        return None
    distance = (float(values.mean()) - bound) * (1 if above else -1)
    deviation = _deviation(values)
    if deviation == 0:
        return None if abs(distance) <= NOTHING else float(distance < 0)
    return float(special.stdtr(n - 1, -distance * math.sqrt(n) / deviation))


def _two_sided(values: np.ndarray, null: float) -> float | None:
    p = _one_sided(values, null, above=float(values.mean()) >= null)
    return None if p is None else 2 * p


def _bootstrap(
    data: tuple[np.ndarray, ...], statistic: Callable[..., Any]
) -> tuple[float | None, float | None]:
    """BCa interval (Efron 1987); the same values always give the same one. None if degenerate."""
    from scipy import stats  # slow to import, and rarely needed

    result = stats.bootstrap(
        data, statistic, method="BCa", n_resamples=RESAMPLES, paired=len(data) > 1,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    low, high = (float(end) for end in result.confidence_interval)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def _exp(value: float | None) -> float | None:
    return None if value is None else math.exp(value)
