"""Why advice may be worse than its regrets say: images far from all references, or references whose
own best rate is uncertain."""

from collections.abc import Sequence

import numpy as np

from fastpipe.advice.grid import Grid
from fastpipe.reporting.statistics import PairedDifference

__all__ = ["cautions"]


def cautions(grid: Grid, similarity: float) -> list[str]:
    """What to beware of, a sentence each; usually none.

    Args:
        grid: the references.
        similarity: of the new images to the source.
    """
    return [*_extrapolated(grid, similarity), *_at_the_edge(grid), *_undecided(grid)]


def _extrapolated(grid: Grid, similarity: float) -> list[str]:
    low, high = float(grid.similarity.min()), float(grid.similarity.max())
    if low <= similarity <= high:
        return []
    side, end = ("more", high) if similarity > high else ("less", low)
    return [
        f"Caution: your images are {side} similar to the source than any reference ({end:.4f}), "
        "so this is an extrapolation."
    ]


def _at_the_edge(grid: Grid) -> list[str]:
    best = grid.best_elrs()
    found = [target for target, elr in zip(grid.targets, best, strict=True) if elr in grid.span]
    low, high = grid.span
    return _about(
        found, f"is an end of the grid ({low:g} or {high:g}); a better one may lie beyond"
    )


def _undecided(grid: Grid) -> list[str]:
    found = [target for place, target in enumerate(grid.targets) if not _decided(grid, place)]
    return _about(found, "is no better than the second best, within the noise of seeds")


def _decided(grid: Grid, place: int) -> bool:
    """Whether the 95 % Student-t interval of the best rate's gain over the second best, paired by
    seed, is above 0 (in validation accuracy); not with fewer than two seeds."""
    best = grid.best(place)
    others = [i for i, point in enumerate(grid.points) if point.elr != grid.points[best].elr]
    gains = grid.by_seed[place, best] - grid.by_seed[place, grid.best(place, others)]
    found = PairedDifference()([{"value": float(gain)} for gain in gains[np.isfinite(gains)]])
    return found.low is not None and found.low > 0


def _about(targets: Sequence[str], what: str) -> list[str]:
    return [f"Caution: the best rate of {', '.join(targets)} {what}."] if targets else []
