"""With and without momentum at the same effective learning rate (Li et al., ICLR 2020, Fig. 3)."""

import json
from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.arms import arm_colour, pick, picked
from fastpipe.reporting.drawing.axes import fraction_axis
from fastpipe.reporting.drawing.curves import ERROR_TITLE, error_scale, variant_label
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.text import number, rounded
from fastpipe.reporting.drawing.variants import IN_ORDER, PANEL, best_by, by_place, start_title
from fastpipe.reporting.numbers import plus_minus
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

_LINE = 17
"""Height of the line of one rate [pixels]; between targets one is left free."""


def draw(rows: Sequence[Row], momenta: Sequence[str]) -> alt.LayerChart:
    """For each target a line for each rate, with a dot for each momentum."""
    data, last = _dots(rows), _lines(rows) * len(by_place(rows))
    own = pick("momentum_label")
    base = alt.Chart().encode(
        y=alt.Y(
            "line:Q",
            title=None,
            scale=alt.Scale(domain=[0.25, last - 0.25], reverse=True, nice=False),
            axis=_target_axis(data),
        )
    )
    errors = error_scale(rows, 0.16)
    dots = base.mark_point(filled=True).encode(
        x=alt.X("error:Q", title=ERROR_TITLE, axis=fraction_axis(), scale=errors),
        size=_sizes(momenta),
        color=arm_colour(momenta, [row["momentum_label"] for row in data], "momentum_label"),
        opacity=picked(own, 0.9, 0.1),
        tooltip=[
            alt.Tooltip("target:N", title="target"),
            alt.Tooltip("rate:N", title="effective learning rate"),
            alt.Tooltip("variant:N", title="best with"),
            alt.Tooltip("text:N", title="test error, %"),
            alt.Tooltip("seeds:Q", title="seeds"),
        ],
    )
    spans = base.mark_rule(style="guide", strokeDash=[1, 0]).encode(
        x="min(error):Q", x2="max(error):Q"
    )
    rates = base.mark_text(style="note", align="left", dx=9).encode(x="max(error):Q", text="rate:N")
    return alt.layer(spans, dots.add_params(own), rates).properties(
        data=alt.InlineData(values=data), height=_LINE * last
    )  # fmt: skip


def _sizes(momenta: Sequence[str]) -> alt.Size:
    """Ever smaller, so that a dot on another hides none."""
    sizes = [130 / 2.6**place for place in range(len(momenta))]
    scale = alt.Scale(domain=list(momenta), range=sizes)
    return alt.Size("momentum_label:N", scale=scale, legend=None)


def _lines(rows: Sequence[Row]) -> int:
    """Lines of one target, the free one included."""
    return 1 + max(row["rate_place"] for row in rows)


def _dots(rows: Sequence[Row]) -> list[Row]:
    targets, lines = by_place(rows), _lines(rows)
    return [
        {
            "target": row["target"],
            "momentum_label": row["momentum_label"],
            "rate": number(row["elr"]),
            "elr": rounded(row["elr"]),
            "line": lines * targets.index(row["target"]) + row["rate_place"],
            "error": rounded(row["error"]),
            "variant": variant_label(row),
            "text": plus_minus(row["error"], row["half_width"], "percent"),
            "seeds": row["seeds"],
        }
        for row in rows
    ]


def _target_axis(data: Sequence[Row]) -> alt.Axis:
    """The targets' names, each at the middle of its lines."""
    lines: dict[str, list[int]] = {}
    for row in data:
        lines.setdefault(row["target"], []).append(row["line"])
    # Twice the middle is whole, so looking it up does not hang by how a number is printed.
    names = {min(own) + max(own): target for target, own in lines.items()}
    lookup = json.dumps(names, ensure_ascii=False)
    return alt.Axis(
        values=[twice / 2 for twice in names],
        labelExpr=f"{lookup}[round(2 * datum.value)]",
        grid=False,
    )


EXHIBIT = Exhibit(
    id="C-F3",
    short="Equal effective rate",
    title="Does momentum matter if the effective learning rate stays the same?",
    lede=(
        "Momentum m multiplies the steps of a learning rate η by 1/(1 − m). At the same η/(1 − m), "
        "written beside each line, the dots with and without momentum should lie together."
    ),
    paper=(
        "Fig. 3: at the same effective rate the best errors with m = 0.9 and m = 0 are almost "
        "equal on all seven targets (ResNet-101 from ImageNet, rates 0.001 to 0.1); between rates "
        "they differ."
    ),
    here=(
        "Mean test error over seeds at the rates that several momenta share; of the other "
        "settings, those with the best mean validation accuracy. Targets in the order of their "
        "similarity to the first source."
    ),
    query=f"""
        WITH {best_by("elr, momentum")},
        shared AS (
            SELECT * FROM best
            QUALIFY count(*) OVER (PARTITION BY study, setting_source, start, target, elr) > 1
        )
        SELECT *, 'm = ' || format('{{:g}}', momentum) AS momentum_label,
            -momentum AS colour_place,
            dense_rank() OVER (PARTITION BY study, setting_source, start ORDER BY elr)
                AS rate_place
        FROM shared
        ORDER BY {IN_ORDER}, elr, momentum DESC
    """,
    panel=PANEL,
    panel_title=start_title,
    draw=draw,
    absent="No two momenta share an effective learning rate.",
    colour="momentum_label",
)
