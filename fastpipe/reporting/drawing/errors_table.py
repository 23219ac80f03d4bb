"""Errors of settings on targets, as a table with the lowest in bold."""

from collections.abc import Callable, Hashable, Mapping, Sequence

from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.numbers import plus_minus
from fastpipe.reporting.tables import Row

__all__ = ["errors_table"]

Line = tuple[str | float, ...]


def errors_table(
    found: Mapping[tuple[Line, str], Row],
    *,
    lines: Mapping[Line, Sequence[str]],
    headings: Sequence[str],
    targets: Sequence[str],
    group: Callable[[Line], Hashable],
    columns: Sequence[str],
) -> Table:
    """A line for each setting and a column for each target.

    Args:
        found: (setting, target) → its row, with `error` and `half_width`; some may lack.
        lines: setting → the cells that name it, in display order.
        headings: of those cells.
        targets: in display order.
        group: of the settings for which this is the same, the lowest error is bold.
        columns: what the CSV file tells of each row.
    """
    marks = {}
    for j, target in enumerate(targets):
        for name in {group(line) for line in lines}:
            own = {i: found[line, target]["error"] for i, line in enumerate(lines)
                   if group(line) == name and (line, target) in found}  # fmt: skip
            if len(own) > 1:
                marks[min(own, key=own.__getitem__), len(headings) + j] = "best"
    return Table(
        columns=[*headings, *targets],
        rows=[
            [*names, *(_text(found.get((line, target))) for target in targets)]
            for line, names in lines.items()
        ],
        values=[
            {name: found[line, target][name] for name in columns}
            for line in lines
            for target in targets
            if (line, target) in found
        ],
        marks=marks,
    )


def _text(row: Row | None) -> str:
    return plus_minus(row["error"], row["half_width"], "percent") if row else "–"
