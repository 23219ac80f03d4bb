"""Reading `study.duckdb`: a query in, rows out."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import duckdb

from fastpipe.errors import UserError

__all__ = ["Row", "Tables"]

Row = dict[str, Any]
"""Column name → value; what is not finite is None."""


class Tables:
    """A study's tables, read from a private copy of the file.

    The copy is why a study that someone has open for writing can still be reported: DuckDB locks
    the file it opens, but anyone may read its bytes.
    """

    def __init__(self, database: Path, scratch: Path):
        copy = scratch / "study.duckdb"
        shutil.copyfile(database, copy)
        try:
            self._connection = duckdb.connect(str(copy), read_only=True, config={"threads": 1})
        except duckdb.Error as error:
            raise UserError(
                f"DuckDB {duckdb.__version__} cannot open {database}: {str(error).splitlines()[0]} "
                "Delete it and run snakemake again to rebuild it."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query, as plain Python values."""
        result = self._connection.execute(query, list(parameters))
        names = [column[0] for column in result.description]
        return [
            {name: _finite(value) for name, value in zip(names, row, strict=True)}
            for row in result.fetchall()
        ]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
