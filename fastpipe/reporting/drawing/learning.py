"""Learning curves: training loss above validation error, a line for each value of a setting."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.arms import pick
from fastpipe.reporting.drawing.axes import Log, fraction_axis, last_step, linear_step_axis
from fastpipe.reporting.drawing.bands import band_chart, band_rows, log_rows
from fastpipe.reporting.drawing.stacked import STACKED_HEIGHT, measured, of_measure, stack
from fastpipe.reporting.grids import ORDER, TRIED
from fastpipe.reporting.numbers import percent
from fastpipe.reporting.tables import Row

__all__ = ["HOW", "curves_query", "draw_curves"]

HOW = (
    "Above, the training loss (log scale), each point the mean over the batches since the point "
    "before; below, the error on the validation split; means over seeds with their 95 % interval. "
    "A line ends where its runs diverge."
)
"""For captions."""

_KEY = ("source", "epoch", "target", "recipe", "seed")
_RUN = ", ".join(_KEY)
_EACH = ", ".join(f"validated.{name}" for name in _KEY)
_SAME_RUN = " AND ".join(f"batches.{name} = validated.{name}" for name in _KEY)


def curves_query(line: str, place: str, *panel: str, where: str = "true", before: str = "") -> str:
    """Training loss and validation error at each validation.

    Args:
        line: SQL of what colours stand for, a text.
        place: SQL of its place in the legend.
        panel: further columns of `tried` that tell panels apart.
        where: which of the runs in `tried`.
        before: further tables that `where` reads, each followed by a comma.
    """
    columns = ", ".join(("study", "setting_source", "source_place", "target", "target_place",
                         *panel, "line", "colour_place"))  # fmt: skip
    return f"""
        WITH {TRIED},
        {before}
        drawn AS (SELECT *, {line} AS line, {place} AS colour_place FROM tried WHERE {where}),
        validated AS (FROM validations SEMI JOIN drawn USING ({_RUN})),
        batches AS (FROM steps SEMI JOIN drawn USING ({_RUN}) WHERE isfinite(loss)),
        points AS (
            SELECT {_EACH}, validated.step, 'loss' AS measure, avg(batches.loss) AS value
            FROM batches ASOF JOIN validated
                ON {_SAME_RUN} AND batches.step <= validated.step
            GROUP BY ALL
            UNION ALL
            SELECT {_RUN}, step, 'error', 1 - top1 FROM validated
        )
        SELECT {columns}, measure, points.step, count(value) AS seeds, avg(value) AS mean,
            half_width95(value) AS half_width
        FROM drawn JOIN points USING ({_RUN})
        GROUP BY ALL
        ORDER BY {ORDER}, {", ".join((*panel, "measure DESC", "colour_place", "step"))}
    """


def draw_curves(rows: Sequence[Row], lines: Sequence[str]) -> alt.VConcatChart:
    """Loss above error, over one axis of steps."""
    choice, last = pick("line"), last_step(rows)
    log = Log(row["mean"] for row in of_measure(rows, "loss"))
    loss = log_rows(of_measure(rows, "loss"), log)
    error = band_rows(of_measure(rows, "error"), percent, floor=0.0, ceiling=1.0)
    top = band_chart(
        loss, lines, x=linear_step_axis(0, last, None), title="Training loss (nats, log scale)",
        scale=log.scale(), axis=log.axis(), mean="mean_at:Q", points=False,
        height=STACKED_HEIGHT, field="line",
    )  # fmt: skip
    bottom = band_chart(
        error, lines, x=linear_step_axis(0, last), title="Validation error (top-1, %)",
        scale=alt.Scale(zero=True), axis=fraction_axis(), points=False, choice=choice,
        height=STACKED_HEIGHT, field="line",
    )  # fmt: skip
    return stack(loss + error, measured(top, "loss"), measured(bottom, "error"))
