"""Tables of errors with a column for each target."""

from collections.abc import Sequence

from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.numbers import plus_minus
from fastpipe.reporting.tables import Row

__all__ = ["target_table", "targets_of"]


def targets_of(rows: Sequence[Row]) -> list[str]:
    """Targets in the order of their similarity."""
    return [target for _, target in sorted({(row["target_place"], row["target"]) for row in rows})]


def target_table(rows: Sequence[Row], named: Sequence[tuple[str, str]]) -> Table:
    """Errors in percent, the lowest of each target marked.

    Args:
        rows: `target`, `target_place`, `mean` and `half_width` (fractions), and the columns of
            `named`; in the order of the table's rows.
        named: (heading, column of texts) of what tells the table's rows apart.
    """
    targets = targets_of(rows)
    names = [name for _, name in named]
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), {})[row["target"]] = row
    cells = [[*key, *(_error(own.get(target)) for target in targets)] for key, own in found.items()]
    lowest = {target: min(row["mean"] for row in rows if row["target"] == target)
              for target in targets}  # fmt: skip
    marks = {
        (i, len(names) + j): "best"
        for i, own in enumerate(found.values())
        for j, target in enumerate(targets)
        if target in own and own[target]["mean"] == lowest[target] and len(found) > 1
    }
    values = [_numbers(row, names) for row in rows]
    return Table([heading for heading, _ in named] + targets, cells, values, marks)


def _error(row: Row | None) -> str:
    return "–" if row is None else plus_minus(row["mean"], row["half_width"], "percent")


def _numbers(row: Row, names: Sequence[str]) -> Row:
    settings = [name for name in ("alpha", "momentum", "lambda") if name in row]
    kept = [*names, "target", *settings, "seeds"]
    return {name: row[name] for name in kept} | {
        "error": row["mean"], "error_half_width": row["half_width"],
    }  # fmt: skip
