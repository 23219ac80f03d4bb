"""`study.duckdb`: every table of a study in one file that stands alone.

Two builds from the same rows differ in bytes: DuckDB writes a random identifier into the header.
So whoever asks "is it the same database?" should compare :meth:`StudyDatabase.content`, which is
the same for the same rows.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["RUN_IDENTITY", "TABLES", "StudyDatabase", "read_columns"]

RUN_IDENTITY = ("source", "epoch", "target", "recipe", "seed")

TABLES = (
    "studies",
    "findings",
    "arms",
    "recipes",
    "datasets",
    "snapshots",
    "history",
    "steps",
    "dynamics",
    "validations",
    "deployments",
    "adp",
    "forgetting",
    "similarity",
    "extractor_similarity",
    "scores",
    "confusion",
    "flow",
    "layers",
    "runs",
    "advice",
)

_SCHEMA = Path(__file__).with_name("schema.sql")
_RUNS = Path(__file__).with_name("runs.sql")
_VIEWS = Path(__file__).with_name("views.sql")


class StudyDatabase:
    """A new database file being filled. Use as a context manager; leaving it closes the file."""

    def __init__(self, path: Path):
        path.unlink(missing_ok=True)
        # One thread: rows are stored in the order in which they are inserted.
        self._connection = duckdb.connect(str(path), config={"threads": 1})
        self._connection.execute(_SCHEMA.read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def insert(self, table: str, rows: pa.Table | Sequence[Mapping[str, Any]]) -> None:
        """Append rows by column name; columns that `rows` lacks stay NULL.

        Raises ValueError for a column that the table does not have.
        """
        if not len(rows):
            return
        if not isinstance(rows, pa.Table):
            rows = self._arrow(table, rows)
        unknown = set(rows.column_names) - set(self._schema(table).names)
        if unknown:
            raise ValueError(f"table {table} has no column {', '.join(sorted(unknown))}")
        self._connection.register("incoming", rows)
        self._connection.execute(f"INSERT INTO {table} BY NAME FROM incoming")
        self._connection.unregister("incoming")

    def insert_parquet(self, table: str, tables: Iterable[pa.Table]) -> None:
        """Append several tables of one schema, sorted by all their columns."""
        tables = list(tables)
        if tables:
            rows = pa.concat_tables(tables, promote_options="default")
            self.insert(table, rows.sort_by([(name, "ascending") for name in rows.column_names]))

    def columns(self, table: str) -> list[str]:
        """Names of a table's columns."""
        return self._schema(table).names

    def rows(self, query: str) -> list[dict[str, Any]]:
        """All rows of a query."""
        return self._connection.sql(query).to_arrow_table().to_pylist()

    def finish(
        self,
        runs: pa.Table,
        derive: Mapping[str, Callable[[Self], Sequence[Mapping]]] | None = None,
    ) -> None:
        """Fill `runs` from what fine-tuning knows of each run and from `adp`; add the views.

        `derive` makes the rows of further tables out of the finished ones.
        """
        self._connection.register("staged_runs", runs)
        self._connection.execute(_RUNS.read_text())
        self._connection.unregister("staged_runs")
        self._connection.execute(_VIEWS.read_text())
        for table, rows_of in (derive or {}).items():
            self.insert(table, rows_of(self))
        self._connection.execute("CHECKPOINT")

    def content(self) -> dict[str, str]:
        """SHA-256 of each table's rows in order (as Parquet): the same rows, the same digest."""
        return {table: self._digest(table) for table in TABLES}

    def _digest(self, table: str) -> str:
        rows = self._connection.sql(f"FROM {table}").to_arrow_table().combine_chunks()
        sink = pa.BufferOutputStream()  # not Arrow's own buffers: what lies under a NULL is random
        pq.write_table(rows, sink, compression="none")
        return hashlib.sha256(sink.getvalue()).hexdigest()

    def _arrow(self, table: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        given = {name for row in rows for name in row}
        schema = self._schema(table)
        known = [field for field in schema if field.name in given]
        extra = [pa.field(name, pa.null()) for name in sorted(given - set(schema.names))]
        if extra:
            raise ValueError(f"table {table} has no column {', '.join(f.name for f in extra)}")
        return pa.Table.from_pylist([dict(row) for row in rows], schema=pa.schema(known))

    def _schema(self, table: str) -> pa.Schema:
        return self._connection.sql(f"FROM {table} LIMIT 0").to_arrow_table().schema


def read_columns(
    path: Path, columns: Sequence[str], seeds: Sequence[int] | None = None
) -> pa.Table:
    """The columns of a Parquet file that are among `columns`, of the given seeds only."""
    file = pq.ParquetFile(path)
    rows = file.read([name for name in columns if name in file.schema_arrow.names])
    if seeds is None:
        return rows
    return rows.filter(pc.is_in(rows["seed"], value_set=pa.array(list(seeds), pa.int64())))
