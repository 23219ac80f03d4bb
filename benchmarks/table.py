"""Benchmark results as one table."""

import operator
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["Row", "print_table"]

_COMPARISONS = {"≥": operator.ge, "≤": operator.le}


@dataclass(frozen=True)
class Row:
    """Ours beside a reference, measured in one process.

    Attributes:
        name: what is measured.
        ours: our value, in `unit`.
        reference: the reference's value, in `unit`; None if there is none.
        ratio: the figure the aim speaks of, ours to the reference as `unit` asks; None likewise.
        unit: of both values, for example `images/s`, `s`, `MiB`.
        aim: demand on the ratio, such as `≥ 0.9` or `≤ 1.15`; empty if there is none.
        note: device, precision, sizes: what a reader needs to judge the numbers.
    """

    name: str
    ours: float
    reference: float | None
    ratio: float | None
    unit: str
    aim: str = ""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the ratio meets the aim; None if there is no aim or no ratio."""
        if not self.aim or self.ratio is None:
            return None
        comparison, bound = self.aim.split()
        return _COMPARISONS[comparison](self.ratio, float(bound))


def print_table(rows: Iterable[Row], title: str = "fastpipe benchmarks") -> None:
    """Print one table of all rows."""
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column("benchmark")
    for heading in ("ours", "reference"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    table.add_column("ratio", justify="right")
    table.add_column("aim")
    table.add_column("note", overflow="fold")
    for row in rows:
        table.add_row(
            row.name,
            _number(row.ours),
            _number(row.reference),
            row.unit,
            _ratio(row),
            row.aim,
            row.note,
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return "–"
    colour = {True: "green", False: "red", None: "default"}[row.met]
    return f"[{colour}]{row.ratio:.3g}[/]"
