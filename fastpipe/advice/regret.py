"""What advice is worth over all pairs of source and target, in numbers and in words."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Regret", "in_words", "mean_regret", "of_predictor"]

RESAMPLES = 9_999

RIVALS = (
    (False, "default", "the default, one recipe each"),
    (True, "random", "a search of as many random points"),
    (True, "default", "a search of the default's decade"),
    (True, "median", "a search without similarity, of the references' median decade"),
)
"""(whether ranges are searched, predictor, in words): what advice is held against."""


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


def of_predictor(
    rows: Iterable[Mapping[str, Any]], predictor: str, search: bool
) -> list[Mapping[str, Any]]:
    """The rows of one predictor, with a search or without."""
    return [r for r in rows if r["predictor"] == predictor and r["search"] == search]


def in_words(rows: Sequence[Mapping[str, Any]], predictor: str = "nearest") -> list[str]:
    """Whether advice is worth following, in words: a sentence for each of `RIVALS`.

    Args:
        rows: table `advice` of one study.
        predictor: whose advice.
    """
    return [
        _sentence(
            f"{'With' if search else 'Without'} a search",
            against,
            mean_regret(
                of_predictor(rows, rival, search), minus=of_predictor(rows, predictor, search)
            ),
        )
        for search, rival, against in RIVALS
    ]


def _sentence(how: str, against: str, gain: Regret) -> str:
    ends = " to ".join(f"{100 * end:+.1f}" for end in (gain.low, gain.high))
    numbers = f"{100 * gain.mean:+.1f} points ({ends})".replace("-", "−")
    word = "better than" if gain.low > 0 else "worse than" if gain.high < 0 else "no better than"
    return f"{how} it is {word} {against}: {numbers}."
