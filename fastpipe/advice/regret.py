"""What advice is worth over all pairs of source and target, in numbers and in words."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastpipe.reporting.statistics import PairedDifference

__all__ = ["Regret", "in_words", "mean_regret", "of_predictor"]

RIVALS = (
    (False, "default", "the default, one recipe each"),
    (True, "random", "a search of as many random points"),
    (True, "default", "a search of the default's decade"),
    (True, "median", "a search without similarity, of the references' median decade"),
)
"""(whether ranges are searched, predictor, in words): what advice is held against."""


@dataclass(frozen=True)
class Regret:
    """Mean over targets of their means over sources, with its 95 % Student-t interval."""

    mean: float
    """[fraction]"""
    low: float
    high: float
    bootstrap_low: float | None
    """Lower end of the 95 % BCa bootstrap interval; None with fewer than ten targets."""
    bootstrap_high: float | None
    pairs: int
    targets: int
    tried: float
    """Mean number of points trained for a pair."""


def mean_regret(
    rows: Iterable[Mapping[str, Any]], minus: Iterable[Mapping[str, Any]] = ()
) -> Regret:
    """Mean of `regret` over rows of one predictor, or of its difference to another's (`minus`).

    A target with all its sources is one value: pairs that share a target are not independent.

    Args:
        rows: one row per (source, target), with `source`, `target`, `regret` and `tried`.
        minus: rows of another predictor for the same pairs, to be subtracted.

    Raises:
        ValueError: there are fewer than two targets, or the two have different pairs.
    """
    rows, others = list(rows), {(row["source"], row["target"]): row["regret"] for row in minus}
    if others and set(others) != {(row["source"], row["target"]) for row in rows}:
        raise ValueError("regrets need the same pairs on both sides")
    by_target: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        subtracted = others.get((row["source"], row["target"]), 0.0)
        by_target[row["target"]].append(row["regret"] - subtracted)
    if len(by_target) < 2:
        raise ValueError(f"a mean regret needs two targets, not {len(by_target)}")
    found = PairedDifference()([{"value": float(np.mean(own))} for own in by_target.values()])
    tried = float(np.mean([row["tried"] for row in rows]))
    return Regret(
        found.value, found.low, found.high, found.bootstrap_low, found.bootstrap_high,
        len(rows), len(by_target), tried,
    )  # fmt: skip


def of_predictor(
    rows: Iterable[Mapping[str, Any]], predictor: str, search: bool
) -> list[Mapping[str, Any]]:
    """The rows of one predictor, with a search or without."""
    return [r for r in rows if r["predictor"] == predictor and r["search"] == search]


def in_words(rows: Sequence[Mapping[str, Any]], predictor: str = "nearest") -> list[str]:
    """Whether advice is worth following, in words: a sentence for each of `RIVALS`.

    "Better" and "worse" are said where the Student-t interval over targets is free of 0.

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
    ends = _range(gain.low, gain.high)
    if gain.bootstrap_low is not None:
        ends += f"; BCa {_range(gain.bootstrap_low, gain.bootstrap_high)}"
    numbers = f"{100 * gain.mean:+.1f} points ({ends})".replace("-", "−")
    word = "better than" if gain.low > 0 else "worse than" if gain.high < 0 else "no better than"
    return f"{how} it is {word} {against}: {numbers}."


def _range(low: float, high: float) -> str:
    return f"{100 * low:+.1f} to {100 * high:+.1f}"
