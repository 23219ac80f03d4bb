"""Is the advice any good? Every target is left out once and advised from the others.

The left-out target is removed from the grid before anything is predicted
(:meth:`fastpipe.advice.grid.Grid.without`); of it, a predictor is told the similarity alone. Its
validation accuracies are used only to search the predicted range, its test accuracies only to say
what the choice was worth.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fastpipe.advice.grid import Grid, grids
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
    "advice_rows",
    "advise",
    "leave_one_out",
    "references",
]

PREDICTORS = {
    "nearest": "the paper’s rule",
    "regression": "falling line",
    "median": "median, no similarity",
    "default": "always the default",
    "random": "random points",
}
"""What is compared, in words. The first two are advice; the others are what it must beat."""


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


def advice_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Table `advice`: every target of every grid in the rows of `GRID_QUERY` left out once."""
    return [asdict(one) for grid in grids(rows) for one in leave_one_out(grid)]


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

    def lost(accuracy: float) -> dict[str, float]:
        return {"regret": round(float(grid.test[place, best] - accuracy), 12)}  # 0 where equal

    def outcome(chosen: int, tried: int) -> dict[str, Any]:
        recipe = grid.recipes[place][chosen]
        return {"recipe": recipe, "tried": tried} | lost(grid.test[place, chosen])

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
        more = {"recipe": None, "tried": tried} | lost(_random_choice(grid, place, tried))
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
