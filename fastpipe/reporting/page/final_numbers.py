"""The tables of final numbers: one for each study, source and target."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastpipe.reporting.numbers import plus_minus
from fastpipe.reporting.page.studies import arm_colour
from fastpipe.reporting.tables import Row, Tables

__all__ = ["final_tables"]

Column = tuple[str, str, str, str, int]

COLUMNS: tuple[Column, ...] = (
    # column of the view, heading, unit, form, which way is better
    ("top1", "top-1", "%", "percent", 1),
    ("balanced_accuracy", "balanced", "%", "percent", 1),
    ("top5", "top-5", "%", "percent", 1),
    ("adp_auc", "ADP-AUC", "0 to 1", "scores", 1),
    ("forgotten", "forgotten", "points", "percent", -1),
    ("distance", "distance", "‖θ* − θ‖", "distance", -1),
)


def final_tables(
    tables: Tables, titles: Mapping[str, str], labels: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Tables in the order of the studies; `titles` and `labels` by study."""
    order = list(titles)
    rows = tables.rows("FROM final_table ORDER BY setting_source, target, position")
    keys = dict.fromkeys((row["study"], row["setting_source"], row["target"]) for row in rows)
    found = []
    for key in sorted(keys, key=lambda key: order.index(key[0]) if key[0] in order else len(order)):
        study, source, target = key
        own = [row for row in rows if (row["study"], row["setting_source"], row["target"]) == key]
        sources = {other[1] for other in keys if other[0] == study}
        title = f"{target} from {source}" if len(sources) > 1 else target
        if len({other[0] for other in keys}) > 1:
            title = f"{titles.get(study, study)} · {title}"
        columns = _columns(own)
        cells = [_final_row(row, own, labels.get(study, []), columns) for row in own]
        headings = [{"name": name, "unit": unit} for _, name, unit, _, _ in columns]
        found.append({"title": title, "columns": headings, "rows": cells})
    return found


def _columns(rows: Sequence[Row]) -> list[Column]:
    """Those that say something: top-1, and others that were measured; balanced accuracy only where
    it is not top-1 anyway, as classes are uneven."""

    def printed(row: Row, column: str) -> str:
        return plus_minus(row[column], row[f"{column}_half_width"], "percent")

    uneven = any(
        row["balanced_accuracy"] is not None
        and printed(row, "balanced_accuracy") != printed(row, "top1")
        for row in rows
    )
    measured = {name for name, *_ in COLUMNS if any(row[name] is not None for row in rows)}
    told = measured | {"top1"} if uneven else measured - {"balanced_accuracy"} | {"top1"}
    return [column for column in COLUMNS if column[0] in told]


def _final_row(
    row: Row, rows: Sequence[Row], labels: Sequence[str], columns: Sequence[Column]
) -> dict[str, Any]:
    return {
        "label": row["arm"],
        "colour": arm_colour(row["arm"], labels),
        "runs": row["runs"],
        "diverged": row["diverged"],
        "cells": [_cell(row, rows, column, form, better) for column, _, _, form, better in columns],
    }


def _cell(row: Row, rows: Sequence[Row], column: str, form: str, better: int) -> dict[str, Any]:
    text = plus_minus(row[column], row[f"{column}_half_width"], form)
    mean, _, spread = text.partition(" ")
    return {"mean": mean, "spread": spread, "best": _best(row, rows, column, form, better)}


def _best(row: Row, rows: Sequence[Row], column: str, form: str, better: int) -> bool:
    """Whether a mean is the best as printed: ties are all best, arms that diverged never are."""
    whole = [one for one in rows if not one["diverged"] and one[column] is not None]
    if row not in whole:
        return False
    best = max(whole, key=lambda one: better * one[column])
    return plus_minus(row[column], None, form) == plus_minus(best[column], None, form)
