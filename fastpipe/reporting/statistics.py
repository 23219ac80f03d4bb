"""The statistics that claims name: from rows of a query to an estimate, its interval and its p.

Each statistic knows which side is the paper's and says on which side its estimate lies; what
follows from p and side is decided in one other place (:mod:`fastpipe.reporting.claims.judging`).
"""

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, ClassVar, Literal

import numpy as np
from scipy import special

__all__ = [
    "LEVEL",
    "Concordance",
    "Equivalence",
    "Estimate",
    "ExactCheck",
    "Interaction",
    "NonInferiority",
    "PairCorrelation",
    "PairSlope",
    "PairedDifference",
    "RankCorrelation",
    "Ratio",
    "Slope",
    "Statistic",
]

LEVEL = 0.05
PAIRS_FOR_BOOTSTRAP = 10
RESAMPLES = 9_999
ASSIGNMENTS = 50_000
"""Exchanges of sources and targets that are all tried; of more a sample."""
NOTHING = 1e-12
"""What rounding leaves of a difference between equal numbers, relative to their size."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Estimate:
    """What the runs say about one contrast."""

    pairs: int
    """Pairs of runs; of a rank correlation points; of an exact check values; of what is computed
    over pairs, pairs of source and target; of a concordance targets."""
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
    chance: float | None = None
    """What chance gives, where that depends on the runs; None: the statistic's `reference`."""


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
class _Matrix:
    """Values of sources (rows) and targets (columns), of the targets that every source has."""

    x: np.ndarray
    y: np.ndarray

    @classmethod
    def of(cls, rows: Rows) -> "_Matrix":
        """From rows with `from_source`, `to_target`, `y` and perhaps `x`."""
        points = {
            (row["from_source"], row["to_target"]): (row.get("x", 0.0), row["y"])
            for row in rows
            if row.get("x", 0.0) is not None and row["y"] is not None
        }
        sources = sorted({source for source, _ in points})
        targets = sorted({target for _, target in points})
        whole = [t for t in targets if all((s, t) in points for s in sources)]
        values = np.array([[points[s, t] for t in whole] for s in sources], dtype=float)
        x, y = np.moveaxis(values.reshape(len(sources), len(whole), 2), 2, 0)
        return cls(x, y)

    def without(self, target: int) -> "_Matrix":
        """All targets but one, by its place."""
        return _Matrix(np.delete(self.x, target, axis=1), np.delete(self.y, target, axis=1))


class _OverPairs(Statistic):
    """What relates y to x over pairs of a source and a target.

    Pairs that share a source or a target are not independent. So p comes from exchanging whole
    sources and whole targets of y (a quadratic assignment test, Hubert 1987; two-sided; all ways if
    there are at most 50,000, else a fixed sample of 9,999), and the interval from leaving out one
    target at a time (jackknife, Student's t). A target that a source lacks is left out.
    """

    fewest_pairs = 5
    fewest_targets: ClassVar[int] = 5

    def __call__(self, rows: Rows) -> Estimate:
        matrix = _Matrix.of(rows)
        targets = matrix.y.shape[1]
        value = self._value(matrix) if targets >= self.fewest_targets else None
        if value is None:
            return Estimate(matrix.y.size, None, None, None, None, True, None)
        x, y = self._scores(matrix.x), self._scores(matrix.y)
        low, high = self._jackknife(value, [self._value(matrix.without(t)) for t in range(targets)])
        p = _assignment_test(x, y)
        return Estimate(matrix.y.size, value, low, high, _pearson(x, y), value >= 0, p)

    @abstractmethod
    def _scores(self, values: np.ndarray) -> np.ndarray:
        """What is multiplied: ranks or the values themselves."""

    @abstractmethod
    def _value(self, matrix: _Matrix) -> float | None:
        """The estimate; None if it is undefined."""

    def _jackknife(
        self, value: float, without: Sequence[float | None]
    ) -> tuple[float | None, float | None]:
        return _jackknife(value, without)


class PairCorrelation(_OverPairs):
    """Spearman's ρ of x and y over pairs of a source and a target, expected above 0.

    Its interval is made on the scale of Fisher's z.
    """

    name = "rank correlation over pairs"

    def _scores(self, values: np.ndarray) -> np.ndarray:
        from scipy import stats  # slow to import, and rarely needed

        return stats.rankdata(values).reshape(values.shape)

    def _value(self, matrix: _Matrix) -> float | None:
        return _pearson(self._scores(matrix.x), self._scores(matrix.y))

    def _jackknife(
        self, value: float, without: Sequence[float | None]
    ) -> tuple[float | None, float | None]:
        if abs(value) > 1 - NOTHING:
            return value, value
        if None in without:
            return None, None
        z = [math.atanh(min(max(one, NOTHING - 1), 1 - NOTHING)) for one in without]
        low, high = _jackknife(math.atanh(value), z)
        return math.tanh(low), math.tanh(high)


class PairSlope(_OverPairs):
    """Least-squares slope of y on x over pairs of a source and a target, expected above 0.

    Its effect size is Pearson's r.
    """

    name = "slope over pairs"

    def _scores(self, values: np.ndarray) -> np.ndarray:
        return values

    def _value(self, matrix: _Matrix) -> float | None:
        return _slope(np.column_stack([matrix.x.ravel(), matrix.y.ravel()]))


@dataclass(frozen=True)
class Concordance(Statistic):
    """Kendall's W: how far sources order targets alike by y, from 0 to 1; ties share ranks.

    By chance m orders have W = 1/m on average; it is expected above. p from exchanging targets
    within each source on its own (a fixed sample of 9,999; two-sided); interval by jackknife over
    targets. The effect size is the mean Spearman correlation of two sources, (mW − 1)/(m − 1).
    """

    name = "Kendall's W"
    fewest_pairs = 5

    def __call__(self, rows: Rows) -> Estimate:
        y = _Matrix.of(rows).y
        orders, targets = y.shape
        value = _kendall_w(y) if orders >= 2 and targets >= self.fewest_pairs else None
        if value is None:
            return Estimate(targets, None, None, None, None, True, None)
        low, high = _jackknife(value, [_kendall_w(np.delete(y, t, axis=1)) for t in range(targets)])
        if low is not None:
            low, high = max(low, 0.0), min(high, 1.0)
        holds = value > 1 / orders
        alike = (orders * value - 1) / (orders - 1)
        p = _concordance_test(y, above=holds)
        return Estimate(targets, value, low, high, alike, holds, p, chance=1 / orders)


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


def _pearson(x: np.ndarray, y: np.ndarray) -> float | None:
    """Correlation of two matrices, entry by entry; None if one has a single value."""
    x, y = x.ravel() - x.mean(), y.ravel() - y.mean()
    size = math.sqrt(float(x @ x) * float(y @ y))
    return max(-1.0, min(1.0, float(x @ y) / size)) if size > NOTHING else None


def _jackknife(value: float, without: Sequence[float | None]) -> tuple[float | None, float | None]:
    """95 % interval from the estimates without each unit; None if one of them is undefined."""
    if None in without:
        return None, None
    n = len(without)
    error = math.sqrt((n - 1) / n * float(np.square(np.array(without) - np.mean(without)).sum()))
    half = float(special.stdtrit(n - 1, 1 - LEVEL / 2)) * error
    return value - half, value + half


def _assignment_test(x: np.ndarray, y: np.ndarray) -> float | None:
    """Share of the ways to exchange rows, and columns, of y that relate to x at least as much.

    None if one of the two has a single value.
    """
    x = x - x.mean()
    y = y - y.mean()
    if not (np.ptp(x) > 0 and np.ptp(y) > 0):
        return None
    observed = abs(float((x * y).sum()))
    reached = observed - NOTHING * float(np.abs(x).max() * np.abs(y).max()) * x.size
    rows, columns = x.shape
    if math.factorial(rows) * math.factorial(columns) <= ASSIGNMENTS:
        orders = np.array(list(permutations(range(columns))))
        # sums over rows of x[r] · y[s][order], for all pairs of rows and all orders of columns
        products = np.einsum("rc,soc->ors", x, y[:, orders])
        sums = [
            products[:, range(rows), list(swap)].sum(axis=1) for swap in permutations(range(rows))
        ]
        return float((np.abs(np.concatenate(sums)) >= reached).mean())
    random = np.random.default_rng(0)
    sums = np.array([
        (x * y[random.permutation(rows)][:, random.permutation(columns)]).sum()
        for _ in range(RESAMPLES)
    ])  # fmt: skip
    return float((1 + (np.abs(sums) >= reached).sum()) / (1 + RESAMPLES))


def _kendall_w(y: np.ndarray) -> float | None:
    """W of the orders in the rows of y (Kendall & Babington Smith 1939), corrected for ties.

    None if each row has a single value.
    """
    from scipy import stats  # slow to import, and rarely needed

    (orders, n), ranks = y.shape, stats.rankdata(y, axis=1)
    ties = sum(int((c**3 - c).sum()) for c in (np.unique(r, return_counts=True)[1] for r in ranks))
    largest = orders**2 * (n**3 - n) - orders * ties
    sums = ranks.sum(axis=0)
    return float(12 * np.square(sums - sums.mean()).sum() / largest) if largest else None


def _concordance_test(y: np.ndarray, *, above: bool) -> float:
    """p of a W as large (small) as that of the rows of y, if their orders were independent."""
    from scipy import stats  # slow to import, and rarely needed

    ranks, random = stats.rankdata(y, axis=1), np.random.default_rng(0)

    def spread(ranks: np.ndarray) -> float:
        return float(np.square(ranks.sum(axis=0)).sum())

    drawn = np.array([spread(random.permuted(ranks, axis=1)) for _ in range(RESAMPLES)])
    observed, slack = spread(ranks), NOTHING * drawn.max()
    as_far = drawn >= observed - slack if above else drawn <= observed + slack
    return float(min(1.0, 2 * (1 + as_far.sum()) / (1 + RESAMPLES)))


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
