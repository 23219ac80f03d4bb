"""Error against a rate: one line for each target, its best point marked."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.arms import arm_colour, arm_dash, pick, picked
from fastpipe.reporting.drawing.axes import Log, fraction_axis
from fastpipe.reporting.drawing.bands import HEIGHT
from fastpipe.reporting.drawing.text import number, rounded
from fastpipe.reporting.numbers import plus_minus
from fastpipe.reporting.tables import Row

__all__ = ["ERROR_TITLE", "draw_curves", "error_scale", "variant_label"]

ERROR_TITLE = "Test error (top-1, %)"


def draw_curves(
    rows: Sequence[Row], targets: Sequence[str], *, field: str, title: str
) -> alt.LayerChart:
    """Lines of `error` against `field` on a log axis, where 0 lies a decade below the rest.

    Args:
        rows: from `best_by(field)`.
        targets: what colours stand for, in display order.
        field: the column of the horizontal axis.
        title: of that axis.
    """
    log = Log(row[field] for row in rows)
    data = [_point(row, field, log) for row in rows]
    names = {log.position(row[field]): number(row[field]) for row in rows}
    own = pick("target")
    base = alt.Chart().encode(
        x=alt.X("at:Q", title=title, scale=log.scale(), axis=log.axis(names)),
        y=alt.Y("error:Q", title=ERROR_TITLE, axis=fraction_axis(), scale=error_scale(rows)),
        color=arm_colour(targets, [row["target"] for row in rows], "target"),
        opacity=picked(own, 1.0, 0.1),
    )
    tooltip = [
        alt.Tooltip("target:N", title="target"),
        alt.Tooltip(f"{field}:Q", title=title.partition(" (")[0], format=".3~r"),
        alt.Tooltip("variant:N", title="best with"),
        alt.Tooltip("text:N", title="test error, %"),
        alt.Tooltip("seeds:Q", title="seeds"),
    ]
    best = base.transform_filter(alt.datum.chosen)
    return alt.layer(
        base.mark_line(strokeWidth=2).encode(**arm_dash(targets, "target")).add_params(own),
        base.mark_point(filled=True, size=28).encode(tooltip=tooltip),
        # A ring around the best: colour alone would not tell it.
        best.mark_point(filled=False, size=190, strokeWidth=2).encode(tooltip=tooltip),
    ).properties(data=alt.InlineData(values=data), height=HEIGHT)  # fmt: skip


def error_scale(rows: Sequence[Row], room: float = 0.06) -> alt.Scale:
    """From 0 to the largest mean error, with room beyond it as a share of it."""
    highest = max(row["error"] for row in rows) or 1.0
    return alt.Scale(domain=[0, (1 + room) * highest], nice=False)


def variant_label(row: Row) -> str:
    """ "η = 0.01, m = 0.9, λ = 0.005"."""
    facts = (("η", "rate"), ("m", "momentum"), ("λ", "decay"))
    return ", ".join(f"{letter} = {number(row[name])}" for letter, name in facts)


def _point(row: Row, field: str, log: Log) -> Row:
    return {
        "target": row["target"],
        field: rounded(row[field]),
        "at": rounded(log.position(row[field])),
        "error": rounded(row["error"]),
        "chosen": row["chosen"],
        "variant": variant_label(row),
        "text": plus_minus(row["error"], row["half_width"], "percent"),
        "seeds": row["seeds"],
    }
