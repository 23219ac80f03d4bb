"""A table as an exhibit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastpipe.reporting.tables import Row

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """What the page shows, and the numbers behind it."""

    columns: Sequence[str]
    """Headings; the first is that of the rows' names."""
    rows: Sequence[Sequence[str]]
    """Text of each cell."""
    values: Sequence[Row]
    """Unrounded, for the CSV file."""
    marks: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """(row, column), each from 0 → how that cell is marked: `best` in bold, `rank-1` to `rank-4`
    with that number behind it and `rank-0` with room for one."""
