"""Is the advice any good? Every target is left out once and advised from the others.

The left-out target is removed from the grid before anything is predicted
(:meth:`fastpipe.advice.grid.Grid.without`); of it, a predictor is told the similarity alone. Its
validation accuracies are used only to search the predicted range, its test accuracies only to say
what the choice was worth.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastpipe.advice.grid import Grid
from fastpipe.advice.predictors import (
    Prediction,
    Reference,
    decade,
    median_reference,
    monotone_regression,
    nearest_reference,
)

__all__ = [
    "PREDICTORS",
    "Advised",
    "Regret",
    "advise",
    "leave_one_out",
    "mean_regret",
    "references",
    "verdict",
]

PREDICTORS = {
    "nearest": "nearest reference (the paper's rule)",
    "regression": "falling line",
    "median": "median of the references (no similarity)",
    "default": "always the default",
    "random": "random points of the grid",
}
"""What is compared, in words. The first two are advice; the others are what it must beat."""

RESAMPLES = 9_999


@dataclass(frozen=True)
class Advised:
    """What one predictor advised for one left-out target, and what that was worth."""

    study: str
    source: str
    epoch: float
    target: str
    predictor: str
    """See `PREDICTORS`."""
    search: bool
    """Whether the range was searched on the target's validation split; if not, one recipe was
    taken unseen."""
    similarity: float
    low: float | None
    """Lower end of the predicted range of effective learning rates; None for `random`."""
    high: float | None
    point: float | None
    """The rate taken without a search."""
    best_elr: float
    """Effective learning rate of the full grid's choice."""
    recipe: str | None
    """The recipe chosen; None for `random`, which is an expectation."""
    regret: float
    """Test accuracy of the full grid's choice minus that of this one [fraction]."""
    tried: int
    """Points of the grid that were trained on the target."""
    points: int
    """Points of the full grid."""


def references(grid: Grid) -> list[Reference]:
    """A grid's targets with their similarity and best rate."""
    return [
        Reference(target, float(similarity), float(elr))
        for target, similarity, elr in zip(
            grid.targets, grid.similarity, grid.best_elrs(), strict=True
        )
    ]


def advise(grid: Grid, similarity: float) -> dict[str, Prediction]:
    """The range that each predictor advises for a new target, by the predictor's name.

    Args:
        grid: the reference targets.
        similarity: of the new target to the source, in the same features as the references'.
    """
    known = references(grid)
    default = grid.points[grid.default].elr
    rules: dict[str, Callable[..., Prediction]] = {
        "nearest": nearest_reference,
        "regression": monotone_regression,
        "median": median_reference,
    }
    found = {name: rule(known, similarity, grid.span) for name, rule in rules.items()}
    # A search of the same shape as the paper's rule gets, but always that of the default.
    return found | {"default": Prediction(*decade(default, grid.span), default)}


def leave_one_out(grid: Grid) -> list[Advised]:
    """Every predictor on every target, without a search and with one.

    Without: the recipe of :meth:`Grid.recommended` at the predicted point (always the default's
    own for `default`; for `random` the mean over all points). With: the point of the range with
    the best validation accuracy (for `random` the expectation over random choices of as many
    points as `nearest` searches).
    """
    return [one for place in range(len(grid.targets)) for one in _left_out(grid, place)]


def _left_out(grid: Grid, place: int) -> list[Advised]:
    target, similarity = grid.targets[place], float(grid.similarity[place])
    known = grid.without(target)
    best = grid.best(place)

    def advised(name: str, search: bool, prediction: Prediction | None, **more: Any) -> Advised:
        ends = (prediction.low, prediction.high, prediction.point) if prediction else [None] * 3
        return Advised(
            grid.study, grid.source, grid.epoch, target, name, search, similarity, *ends,
            best_elr=grid.points[best].elr, points=len(grid.points), **more,
        )  # fmt: skip

    def outcome(chosen: int, tried: int) -> dict[str, Any]:
        regret = float(grid.test[place, best] - grid.test[place, chosen])
        return {"recipe": grid.recipes[place][chosen], "regret": regret, "tried": tried}

    found = []
    budget = len(grid.points)
    for name, prediction in advise(known, similarity).items():
        unseen = grid.default if name == "default" else known.recommended(prediction.point)
        inside = grid.within(prediction.low, prediction.high)
        if name == "nearest":
            budget = len(inside)
        found.append(advised(name, False, prediction, **outcome(unseen, 1)))
        searched = outcome(grid.best(place, inside), len(inside))
        found.append(advised(name, True, prediction, **searched))
    for search, tried in ((False, 1), (True, budget)):
        regret = float(grid.test[place, best]) - _random_choice(grid, place, tried)
        more = {"recipe": None, "regret": regret, "tried": tried}
        found.append(advised("random", search, None, **more))
    return found


def _random_choice(grid: Grid, place: int, tried: int) -> float:
    """Expected test accuracy of the best validated of `tried` points drawn without replacement.

    The r-th best of all P points wins if it is drawn and none of the r before it are, which
    C(P − r − 1, tried − 1) of the C(P, tried) draws do.
    """
    left, order = list(range(len(grid.points))), []
    while left:
        order.append(grid.best(place, left))
        left.remove(order[-1])
    total = len(order)
    weights = [math.comb(total - r - 1, tried - 1) / math.comb(total, tried) for r in range(total)]
    return float(np.dot(weights, grid.test[place, order]))


# --- over all pairs -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Regret:
    """Mean over source–target pairs, with its 95 % bootstrap interval over targets."""

    mean: float
    """[fraction]"""
    low: float
    high: float
    pairs: int
    targets: int
    tried: float
    """Mean number of points trained for a pair."""


def mean_regret(
    rows: Iterable[Mapping[str, Any]], minus: Iterable[Mapping[str, Any]] = ()
) -> Regret:
    """Mean of `regret` over rows of one predictor, or of its difference to another's (`minus`).

    Targets are resampled, each with all its sources: pairs that share a target are not
    independent. With a handful of targets a percentile interval is somewhat too narrow.

    Args:
        rows: one row per (source, target), with `source`, `target`, `regret` and `tried`.
        minus: rows of another predictor for the same pairs, to be subtracted.

    Raises:
        ValueError: there are no rows, or the two have different pairs.
    """
    rows, others = list(rows), {(row["source"], row["target"]): row["regret"] for row in minus}
    if not rows or (others and set(others) != {(r["source"], r["target"]) for r in rows}):
        raise ValueError("regrets need the same pairs on both sides, and at least one")
    by_target: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        subtracted = others.get((row["source"], row["target"]), 0.0)
        by_target[row["target"]].append(row["regret"] - subtracted)
    sums = np.array([sum(own) for own in by_target.values()])
    counts = np.array([len(own) for own in by_target.values()])
    drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    tried = float(np.mean([row["tried"] for row in rows]))
    mean = float(sums.sum() / counts.sum())
    return Regret(mean, float(low), float(high), len(rows), len(sums), tried)


def verdict(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether the advice is worth following, in words: one sentence for each comparison.

    Args:
        rows: all rows of a study's leave-one-out, as :class:`Advised` has them.
    """

    def those(name: str, search: bool) -> list[Mapping[str, Any]]:
        return [row for row in rows if row["predictor"] == name and row["search"] == search]

    sentences = []
    for name in ("nearest", "regression"):
        who = {"nearest": "The paper's rule", "regression": "The falling line"}[name]
        for search, rival, against in (
            (False, ("default", False), "the default, one recipe each"),
            (True, ("random", True), "a search of random points"),
            (True, ("default", True), "a search of the default's decade"),
        ):
            gain = mean_regret(those(*rival), minus=those(name, search))
            sentences.append(_sentence(who, against, gain, search))
    return sentences


def _sentence(who: str, against: str, gain: Regret, search: bool) -> str:
    how = "with a search of its range" if search else "without a search"
    numbers = f"{100 * gain.mean:+.1f} points ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    if gain.low > 0:
        word = "better than"
    elif gain.high < 0:
        word = "worse than"
    else:
        word = "no better than"
    return f"{who}, {how}, is {word} {against}: {numbers}."
