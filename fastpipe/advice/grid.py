"""A grid searched on several targets from one source: what advice learns from."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from fastpipe.reporting.grids import OWN_GRID

__all__ = ["FEWEST_RATES", "FEWEST_TARGETS", "GRID_QUERY", "Grid", "Point", "grids", "near"]

FEWEST_TARGETS = 4
"""So that three are left when one is left out."""

FEWEST_RATES = 3
"""Different effective learning rates that make a grid."""

GRID_QUERY = f"""
    WITH {OWN_GRID}
    SELECT study, source, epoch, target, arm, bool_or(is_default) AS is_default,
        min(place) AS place, recipe, elr, momentum, "lambda" AS weight_decay, similarity,
        round(avg(val_top1), 9) AS val, avg(final_top1) AS test,
        list(seed ORDER BY seed) AS seeds, list(val_top1 ORDER BY seed) AS vals
    FROM grid JOIN similarity USING (source, epoch, target)
    WHERE NOT scratch AND elr > 0
    GROUP BY ALL
    HAVING count(val_top1) > 0 AND count(final_top1) > 0
    ORDER BY ALL
"""
"""Means over seeds of every arm with an effective learning rate, at the settings of its study.

`val` is validation accuracy, by which points are chosen; `test` is read only for what a choice was
worth."""


@dataclass(frozen=True)
class Point:
    """One point of a grid."""

    arm: str
    elr: float
    """Effective learning rate η/(1 − m)."""
    momentum: float
    weight_decay: float
    """λ of the body."""


@dataclass(frozen=True)
class Grid:
    """Accuracies of every point on every target, from one snapshot."""

    study: str
    source: str
    epoch: float
    points: tuple[Point, ...]
    """In order of their arms' positions."""
    default: int
    """Place of the study's default among them: its arm of role `baseline`."""
    targets: tuple[str, ...]
    similarity: np.ndarray
    """float64 [targets]: to the source."""
    val: np.ndarray
    """float64 [targets, points]: validation accuracy [fraction], mean over seeds."""
    test: np.ndarray
    """float64 [targets, points]: test accuracy [fraction], mean over seeds."""
    recipes: tuple[tuple[str, ...], ...]
    """Name of the recipe variant of each point, by target."""
    by_seed: np.ndarray
    """float64 [targets, points, seeds]: validation accuracy of each run [fraction]; NaN where there
    is none."""

    @property
    def elrs(self) -> np.ndarray:
        """float64 [points]: effective learning rates."""
        return np.array([point.elr for point in self.points])

    @property
    def span(self) -> tuple[float, float]:
        """The smallest and the largest effective learning rate."""
        return float(self.elrs.min()), float(self.elrs.max())

    def without(self, target: str) -> Self:
        """The grid as if this target had never been tried.

        Raises:
            ValueError: it is not among the targets.
        """
        place = self.targets.index(target)
        return dataclasses.replace(
            self,
            targets=self.targets[:place] + self.targets[place + 1 :],
            similarity=np.delete(self.similarity, place),
            val=np.delete(self.val, place, axis=0),
            test=np.delete(self.test, place, axis=0),
            recipes=self.recipes[:place] + self.recipes[place + 1 :],
            by_seed=np.delete(self.by_seed, place, axis=0),
        )

    def best(self, target: int, among: Sequence[int] | None = None) -> int:
        """Place of the point with the best validation accuracy on a target.

        Of equal ones that with the smallest effective learning rate, then the smallest weight
        decay and momentum: as the claims choose (:mod:`fastpipe.reporting.grids`).
        """
        places = range(len(self.points)) if among is None else among

        def order(i: int) -> tuple:
            point = self.points[i]
            return -self.val[target, i], point.elr, point.weight_decay, point.momentum, i

        return min(places, key=order)

    def best_elrs(self) -> np.ndarray:
        """float64 [targets]: effective learning rate of each target's best point."""
        return np.array([self.points[self.best(i)].elr for i in range(len(self.targets))])

    def within(self, low: float, high: float) -> list[int]:
        """Places of points with an effective learning rate in [low, high].

        If there is none, those with the one nearest to the range's middle, by its logarithm.
        """
        inside = [
            i
            for i, point in enumerate(self.points)
            if low * (1 - _SAME) <= point.elr <= high * (1 + _SAME)
        ]
        return inside or near(self.elrs, float(np.sqrt(low * high)))

    def recommended(self, elr: float) -> int:
        """The point to take unseen at a rate: at the grid's rate nearest to it by logarithm, the
        one with the best mean validation accuracy over all targets of the grid."""
        places = near(self.elrs, elr)
        return min(places, key=lambda i: (-float(self.val[:, i].mean()), i))


_SAME = 1e-9


def near(elrs: np.ndarray, elr: float) -> list[int]:
    """Places of the values nearest to `elr` on a log scale (the lower of two as near)."""
    away = np.abs(np.log(elrs) - np.log(elr))
    chosen = elrs[away <= away.min() + _SAME].min()
    return [int(i) for i in np.flatnonzero(np.abs(elrs - chosen) <= _SAME * chosen)]


def grids(rows: Iterable[Mapping[str, Any]]) -> list[Grid]:
    """The grids in the rows of `GRID_QUERY`.

    Points are arms that every target of the snapshot has. What has no default, fewer than
    `FEWEST_TARGETS` targets or fewer than `FEWEST_RATES` rates is no grid.
    """
    found: dict[tuple, dict[str, dict[str, Mapping[str, Any]]]] = defaultdict(dict)
    for row in rows:
        key = (row["study"], row["source"], row["epoch"])
        found[key].setdefault(row["target"], {})[row["arm"]] = row
    made = [_grid(*key, by_target) for key, by_target in found.items()]
    return [grid for grid in made if grid is not None]


def _grid(
    study: str, source: str, epoch: float, by_target: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> Grid | None:
    shared = set.intersection(*(set(arms) for arms in by_target.values()))
    targets = sorted(by_target)
    first = by_target[targets[0]]
    arms = sorted(shared, key=lambda arm: (first[arm]["place"], arm))
    defaults = [i for i, arm in enumerate(arms) if first[arm]["is_default"]]
    points = tuple(_point(first[arm]) for arm in arms)
    rates = {point.elr for point in points}
    if len(targets) < FEWEST_TARGETS or len(rates) < FEWEST_RATES or not defaults:
        return None

    def table(column: str) -> np.ndarray:
        return np.array([[by_target[t][arm][column] for arm in arms] for t in targets], dtype=float)

    return Grid(
        study, source, epoch, points, defaults[0], tuple(targets), table("similarity")[:, 0],
        table("val"), table("test"),
        tuple(tuple(by_target[target][arm]["recipe"] for arm in arms) for target in targets),
        _by_seed([[by_target[target][arm] for arm in arms] for target in targets]),
    )  # fmt: skip


def _by_seed(rows: Sequence[Sequence[Mapping[str, Any]]]) -> np.ndarray:
    runs = [[dict(zip(row["seeds"], row["vals"], strict=True)) for row in own] for own in rows]
    seeds = sorted({seed for own in runs for run in own for seed in run})
    values = [[[run.get(seed) for seed in seeds] for run in own] for own in runs]
    return np.array(values, dtype=float)  # None becomes NaN


def _point(row: Mapping[str, Any]) -> Point:
    return Point(row["arm"], row["elr"], row["momentum"], row["weight_decay"])
