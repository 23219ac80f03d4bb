"""Fair timing: contestants take turns in one process, so that what disturbs one disturbs all."""

import statistics
import time
from collections.abc import Callable, Mapping

__all__ = ["interleaved", "ratio"]


def interleaved(
    contestants: Mapping[str, Callable[[], object]], rounds: int = 7
) -> dict[str, list[float]]:
    """Seconds of each call, by contestant: one untimed round, then `rounds` timed ones."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for name in contestants:
        contestants[name]()
    for turn in range(rounds):
        order = list(contestants) if turn % 2 == 0 else list(reversed(contestants))
        for name in order:
            started = time.perf_counter()
            contestants[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(numerator: list[float], denominator: list[float]) -> float:
    """Median over the rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))
