"""An invented grid: the more similar a target, the smaller its best rate."""

import itertools

import numpy as np
import pytest

from fastpipe.advice.grid import Grid, Point

RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SIMILARITY = {"a": 0.95, "b": 0.9, "c": 0.86, "d": 0.8, "e": 0.74, "f": 0.7}


@pytest.fixture
def grid() -> Grid:
    """Two weight decays at six rates on six targets; accuracy falls off on both sides of a best
    rate, and the second weight decay is always a little worse."""
    points = tuple(
        Point(f"elr={rate:g} wd={decay:g}", rate, 0.9, decay)
        for rate, decay in itertools.product(RATES, (0.005, 0.0))
    )
    similarity = np.array(list(SIMILARITY.values()))
    best = -2.5 + 10 * (0.95 - similarity)  # log10 of the best rate: 0.003 … 1
    logs = np.log10([point.elr for point in points])
    worse = np.array([0.004 * (point.weight_decay == 0) for point in points])
    noise = np.random.default_rng(1)
    val = 0.9 - 0.05 * (logs - best[:, None]) ** 2 - worse
    test = val - 0.02 + noise.normal(0, 0.004, val.shape)
    recipes = tuple(tuple(point.arm for point in points) for _ in SIMILARITY)
    default = next(i for i, point in enumerate(points) if point.elr == 0.1)
    by_seed = val[..., None] + 0.001 * np.array([-1, 0, 1])
    return Grid(
        "s", "src", 2.0, points, default, tuple(SIMILARITY), similarity, val, test, recipes, by_seed
    )
