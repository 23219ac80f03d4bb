"""Validation accuracy and ADP through classifier warm-up, one seed (FAST, Fig. 7)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.arms import arm_colour, arm_dash, pick, picked
from fastpipe.reporting.drawing.axes import fraction_axis, last_step, linear_step_axis
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.queries import chosen
from fastpipe.reporting.drawing.stacked import STACKED_HEIGHT, measured, of_measure, stack
from fastpipe.reporting.drawing.text import init_label, rounded
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.VConcatChart:
    """Validation accuracy with an arrow where warm-up ends, above ADP; steps are linear."""
    choice, last = pick(), last_step(rows)
    data = _data(rows)
    top = alt.layer(
        *_lines(data, arms, linear_step_axis(0, last, None), "Validation accuracy (top-1, %)",
                choice, declared=False),
        *_leaps(data, arms, choice),
    )  # fmt: skip
    bottom = alt.layer(
        *_lines(data, arms, linear_step_axis(0, last), "ADP (top-1, %)", choice, declared=True)
    )
    parts = {"validation": top, "adp": bottom}
    return stack(
        data,
        *(
            measured(chart, measure).properties(height=STACKED_HEIGHT)
            for measure, chart in parts.items()
        ),
    )


def _data(rows: Sequence[Row]) -> list[Row]:
    """Rows to draw; the last validation of a warm-up has `leap`, the step of the switch."""
    before = [row for row in of_measure(rows, "validation") if _in_warmup(row)]
    ends = {row["arm"]: row["step"] for row in before}  # rows are in order of step
    return [
        {name: row[name] for name in ("arm", "measure", "step", "seed", "switch")}
        | {"top1": rounded(row["top1"])}
        | ({"leap": row["switch"]} if row in before and ends[row["arm"]] == row["step"] else {})
        for row in rows
    ]


def _in_warmup(row: Row) -> bool:
    return row["switch"] is not None and row["step"] <= row["switch"]


def _lines(
    data: Sequence[Row],
    arms: Sequence[str],
    x: alt.X,
    title: str,
    choice: alt.Parameter,
    *,
    declared: bool,
) -> tuple[alt.Chart, alt.Chart]:
    base = alt.Chart().encode(
        x=x,
        y=alt.Y("top1:Q", title=title, scale=alt.Scale(zero=True), axis=fraction_axis()),
        color=arm_colour(arms, [row["arm"] for row in data]),
    )
    line = base.mark_line(strokeWidth=1.8).encode(
        opacity=picked(choice, 0.95, 0.12), **arm_dash(arms)
    )
    dots = base.mark_point(filled=True, size=60).encode(
        opacity=alt.value(0),
        tooltip=[
            alt.Tooltip("arm:N", title="arm"),
            alt.Tooltip("seed:Q", title="seed"),
            alt.Tooltip("step:Q", title="step", format=","),
            alt.Tooltip("switch:Q", title="warm-up ends at step", format=","),
            alt.Tooltip("top1:Q", title="accuracy", format=".1%"),
        ],
    )
    return (line if declared else line.add_params(choice)), dots


def _leaps(
    data: Sequence[Row], arms: Sequence[str], choice: alt.Parameter
) -> tuple[alt.Chart, alt.Chart]:
    """An arrow for each arm where its warm-up ends, and a line through the panel."""
    at = (
        alt.Chart()
        .transform_filter("isValid(datum.leap)")
        .encode(x="leap:Q", color=arm_colour(arms, [row["arm"] for row in data]))
    )
    rules = at.mark_rule(strokeDash=[2, 3], strokeWidth=1.2).encode(
        opacity=picked(choice, 0.7, 0.1)
    )
    arrows = at.mark_point(shape="arrow", angle=180, size=320, filled=True, yOffset=-16).encode(
        y="top1:Q", opacity=picked(choice, 1.0, 0.12)
    )
    return rules, arrows


def warmup_label(row: Row) -> str:
    """As in the paper's legend: the first head, and whether statistics are updated."""
    return init_label(row) + (" + stats" if row["warmup"] == "running-stats" else "")


_FIRST_SEED = """
    warmup <> 'none' AND seed = (
        SELECT min(seed) FROM described AS other
        WHERE other.study = described.study AND other.warmup <> 'none')
"""

EXHIBIT = Exhibit(
    id="A-F7",
    short="Warm-up",
    title="Does a warmed-up head spare the body?",
    lede=(
        "At first only the head learns. Where an arrow points, validation has stalled and the "
        "body is released; a fall just after it is a step too far."
    ),
    paper=(
        "Fig. 7: validation accuracy leaps at the switch, whatever the first head and whether or "
        "not normalisation statistics are updated (ResNet-18, ImageNet to CIFAR-100, α = 10⁻², a "
        "single seed)."
    ),
    here=(
        "The runs of one seed (the first), as in the paper: validation accuracy above, ADP below, "
        "on a linear axis of steps. Arrows and dotted lines mark the end of warm-up."
    ),
    query=f"""
        WITH {chosen(_FIRST_SEED)},
        observed AS (
            SELECT 'validation' AS measure, source, epoch, target, recipe, seed, step, top1
            FROM validations
            UNION ALL
            SELECT 'adp', source, epoch, target, recipe, seed, step, top1 FROM adp
        )
        SELECT study, setting_source, target, position, arm, head_init, head_sigma, warmup, seed,
            warmup_end_step AS switch, measure, step, top1
        FROM chosen
        JOIN observed USING (source, epoch, target, recipe, seed)
        WHERE isfinite(top1)
        ORDER BY study, setting_source, target, measure DESC, position, step
    """,
    panel=("setting_source", "target"),
    draw=draw,
    absent="No arm warms its head up.",
    label=warmup_label,
)
