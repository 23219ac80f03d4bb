"""The rules on the paper's own numbers: Table 4 of Li et al. (ICLR 2020).

The table has similarities and best rates but no accuracies of the other rates, so what can be asked
is whether a left-out target's best rate lies in the predicted range, and how far off the point is.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fastpipe.advice.predictors import (
    Reference,
    median_reference,
    monotone_regression,
    nearest_reference,
)

__all__ = ["Cell", "Scored", "disagreements", "score_table", "table4"]

_FILE = Path(__file__).with_name("table4.csv")

RULES = {
    "nearest": nearest_reference,
    "regression": monotone_regression,
    "median": median_reference,
}


SPAN = (0.001, 1.0)
"""The decades that the paper names."""


REPEATED = "jft"
"""The extractor whose cells stand with the rates of another (ResNet-101)."""


class Cell(NamedTuple):
    """A target in a column (source and feature extractor) of the table."""

    source: str
    extractor: str
    target: str
    similarity: float
    elr: float
    figure: float | None
    """The same rate in the legend of Fig. 4; None if that is not in the text."""


@dataclass(frozen=True)
class Scored:
    """A rule on left-out targets of the table."""

    column: str
    """"source, extractor"; "all" for all that have rates of their own (all but `REPEATED`)."""
    rule: str
    targets: int
    right: int
    """Targets whose best rate lies in the predicted range."""
    decades: float
    """Mean width of the range [decades]: a wide one is right easily."""
    off: float
    """Mean |log10| of predicted over best rate [decades]."""


def table4() -> list[Cell]:
    """Every cell of the table that has a similarity and a rate."""
    lines = [line for line in _FILE.read_text().splitlines() if not line.startswith("#")]
    return [
        Cell(
            row["source"], row["extractor"], row["target"], float(row["similarity"]),
            float(row["elr"]), float(row["figure"]) if row["figure"] else None,
        )
        for row in csv.DictReader(lines)
    ]  # fmt: skip


def disagreements() -> list[Cell]:
    """Cells whose rate is another one in the legend of Fig. 4."""
    return [cell for cell in table4() if cell.figure is not None and cell.figure != cell.elr]


def score_table() -> list[Scored]:
    """Each rule on each column, every target left out once, then on all columns together.

    The columns together leave `REPEATED` out: its rates would be counted twice.
    """
    columns: dict[str, list[Reference]] = {}
    for cell in table4():
        own = columns.setdefault(f"{cell.source}, {cell.extractor}", [])
        own.append(Reference(cell.target, cell.similarity, cell.elr))
    each = {
        (column, rule): _each_left_out(known, rule) for column, known in columns.items()
        for rule in RULES
    }  # fmt: skip
    for rule in RULES:
        each["all", rule] = [
            one for column in columns if not column.endswith(REPEATED) for one in each[column, rule]
        ]
    return [_scored(column, rule, found) for (column, rule), found in each.items()]


def _each_left_out(known: list[Reference], rule: str) -> list[Mapping[str, float]]:
    found = []
    for left in known:
        others = [one for one in known if one is not left]
        guess = RULES[rule](others, left.similarity, SPAN)
        found.append(
            {
                "right": guess.holds(left.elr),
                "decades": math.log10(guess.high / guess.low),
                "off": abs(math.log10(guess.point / left.elr)),
            }
        )
    return found


def _scored(column: str, rule: str, found: list[Mapping[str, float]]) -> Scored:
    n = len(found)
    right = int(sum(one["right"] for one in found))
    decades, off = (sum(one[name] for one in found) / n for name in ("decades", "off"))
    return Scored(column, rule, n, right, decades, off)
