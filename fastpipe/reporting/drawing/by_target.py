"""Tables of errors with a column for each target."""

from collections.abc import Sequence

from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.drawing.variants import by_place
from fastpipe.reporting.numbers import plus_minus
from fastpipe.reporting.tables import Row

__all__ = ["target_table"]

_TOLD = ("alpha", "momentum", "lambda", "rate", "decay", "elr", "seeds", "error", "half_width",
         "gain_without_momentum")  # fmt: skip
"""What the CSV file tells beside names and target, where rows have it."""


def target_table(
    rows: Sequence[Row],
    named: Sequence[tuple[str, str]],
    *,
    within: str | None = None,
    lines: Sequence[tuple[str, ...]] | None = None,
    targets: Sequence[str] | None = None,
) -> Table:
    """Errors in percent, the lowest of each target in bold.

    Args:
        rows: `target`, `target_place`, `error` and `half_width` (fractions), and the columns of
            `named`, texts; in the order of the table's rows.
        named: (heading, column) of what tells the table's rows apart.
        within: a column of `named`: the lowest error of each of its values is bold.
        lines: values of these columns, for other rows than those that `rows` has, or another order.
        targets: in display order; default: the most similar first.
    """
    names = [column for _, column in named]
    targets = by_place(rows) if targets is None else targets
    found = {(tuple(row[name] for name in names), row["target"]): row for row in rows}
    lines = list(dict.fromkeys(line for line, _ in found)) if lines is None else lines
    group = names.index(within) if within else None
    marks = {}
    for j, target in enumerate(targets, len(names)):
        errors = {i: found[line, target]["error"] for i, line in enumerate(lines)
                  if (line, target) in found}  # fmt: skip
        for i, error in errors.items():
            rivals = [other for k, other in errors.items()
                      if group is None or lines[k][group] == lines[i][group]]  # fmt: skip
            if len(rivals) > 1 and error == min(rivals):
                marks[i, j] = "best"
    return Table(
        columns=[*(heading for heading, _ in named), *targets],
        rows=[[*line, *(_error(found.get((line, target))) for target in targets)]
              for line in lines],
        values=[
            {name: row[name] for name in (*names, "target", *_TOLD) if name in row}
            for line in lines
            for target in targets
            if (row := found.get((line, target)))
        ],
        marks=marks,
    )  # fmt: skip


def _error(row: Row | None) -> str:
    return "–" if row is None else plus_minus(row["error"], row["half_width"], "percent")
