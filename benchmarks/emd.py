"""Exact domain similarity: seconds and memory at full size, and next to scipy's LP."""

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import hstack, identity, kron, vstack

from benchmarks.table import Row, print_table
from benchmarks.timing import interleaved, ratio
from fastpipe.similarity.emd import domain_similarity

__all__ = ["run"]

FULL = (1000, 5089, 2048)  # classes of ImageNet and of iNaturalist 2017, features of a ResNet-101
SMALL = (60, 200, 2048)  # a size at which scipy's LP takes about a second


def run() -> list[Row]:
    """The full problem in a process of its own (for its memory), the small one beside scipy."""
    return [*_full(), _beside_scipy()]


def _domains(classes: int, others: int, features: int) -> tuple[np.ndarray, ...]:
    """Class means like those after a ReLU, positive and skewed, with unequal counts."""
    random = np.random.default_rng(0)
    return (
        random.gamma(0.5, 1, (classes, features)),
        random.integers(700, 1300, classes),
        random.gamma(0.5, 1, (others, features)),
        random.integers(10, 1000, others),
    )


def _full() -> list[Row]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seconds, bytes_before, bytes_peak = pool.apply(_measure_full)
    size = "{} × {} classes of {} features".format(*FULL)
    mib = 2**20
    memory = f"{size}; peak of the process, {bytes_before / mib:.0f} MiB of it before the call"
    return [
        Row("emd", seconds, None, None, "s", note=f"{size}, 1 thread, median of 3"),
        Row("emd memory", bytes_peak / mib, None, None, "MiB", note=memory),
    ]


def _measure_full() -> tuple[float, int, int]:
    domain_similarity([[0.0]], [1], [[1.0]], [1])  # imports
    domains = _domains(*FULL)
    before = _peak_bytes()
    seconds = statistics.median(_seconds(lambda: domain_similarity(*domains)) for _ in range(3))
    return seconds, before, _peak_bytes()


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def _beside_scipy() -> Row:
    domains = _domains(*SMALL)
    found: dict[str, float] = {}
    seconds = interleaved(
        {
            "ours": lambda: found.update(ours=domain_similarity(*domains).distance),
            "scipy": lambda: found.update(scipy=_linear_programme(*domains)),
        },
        rounds=5,
    )
    error = abs(found["ours"] / found["scipy"] - 1)
    return Row(
        "emd against scipy's LP",
        statistics.median(seconds["ours"]),
        statistics.median(seconds["scipy"]),
        ratio(seconds["scipy"], seconds["ours"]),
        "s",
        note="{} × {} classes of {} features; times faster; distances agree to {:.0e}".format(
            *SMALL, error
        ),
    )


def _linear_programme(
    source: np.ndarray, source_counts: np.ndarray, target: np.ndarray, target_counts: np.ndarray
) -> float:
    """The same distance by HiGHS, costs by the plain formula."""
    costs = np.stack([np.linalg.norm(target - mean, axis=1) for mean in source])
    n, m = costs.shape
    rows = kron(identity(n), np.ones((1, m)))
    columns = hstack([identity(m)] * n)
    marginals = [source_counts / source_counts.sum(), target_counts / target_counts.sum()]
    result = linprog(
        costs.ravel(), A_eq=vstack([rows, columns]), b_eq=np.concatenate(marginals), method="highs"
    )
    return result.fun


if __name__ == "__main__":
    print_table(run())
