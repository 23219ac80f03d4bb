"""A table as an exhibit."""

from collections.abc import Sequence
from dataclasses import dataclass

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
