"""Error against momentum; with and without, against learning rate (Li et al. 2020, Fig. 1)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.momenta import MOMENTA, REST, SEVERAL_MOMENTA, momenta_title
from fastpipe.reporting.drawing.settings import draw_by_momentum, draw_by_rate
from fastpipe.reporting.drawing.text import number
from fastpipe.reporting.grids import ORDER, TRIED
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], lines: Sequence[str]) -> alt.LayerChart:
    """Panels (a) have momenta along their axis, panels (b) learning rates."""
    if rows[0]["part"] == "a":
        return draw_by_momentum(rows, lines, "momentum m (log scale of 1 / (1 − m))")
    return draw_by_rate(rows, lines, "learning rate η (log scale)")


def _title(row: Row) -> str:
    if row["part"] == "a":
        return f"(a) {momenta_title(row)}"
    return f"(b) {row['target']}: batches of {row['batch_size']}, λ = {number(row['fixed'])}"


_POINT = """count(final_top1) AS seeds, avg(1 - final_top1) AS mean,
    half_width95(1 - final_top1) AS half_width"""

EXHIBIT = Exhibit(
    id="C-F1",
    short="Which momentum",
    title="Which momentum is best at one learning rate?",
    lede=(
        "Left to right, each batch counts for longer: m = 0.99 sums up a hundred of them, m = 0 "
        "one. The usual 0.9 is a choice like any other, and the learning rate that goes with it "
        "depends on it."
    ),
    paper=(
        "Fig. 1: Birds from ImageNet, ResNet-101: (a) at η = 0.01, momentum zero beats the others "
        "with and without weight decay; (b) at λ = 0.0001, the best learning rate is larger "
        "without momentum than with 0.9."
    ),
    here=(
        "Error on the test split after the last step, mean over seeds with its 95 % interval: (a) "
        "a line for each weight decay λ; (b) a line for momentum 0.9 and one for 0, at the "
        "default's λ, where this report has several learning rates for the same pair."
    ),
    query=f"""
        WITH {TRIED}, {SEVERAL_MOMENTA},
        momenta AS (SELECT *, {REST} AS rest FROM tried WHERE {MOMENTA}),
        everything AS (
            SELECT * EXCLUDE (study, place, arm, is_default), {REST} AS rest,
                bool_or(is_default) AS is_default
            FROM grid WHERE momentum IN (0, 0.9) GROUP BY ALL
        ),
        rates AS (
            SELECT study, everything.*
            FROM (SELECT DISTINCT study, source, epoch, target, batch_size, rest FROM momenta)
            JOIN everything USING (source, epoch, target, batch_size, rest)
        ),
        decays AS (
            SELECT study, source, epoch, target, batch_size, rest, "lambda"
            FROM rates
            GROUP BY study, source, epoch, target, batch_size, rest, "lambda"
            HAVING count(DISTINCT alpha) FILTER (momentum = 0) > 1
                AND count(DISTINCT alpha) FILTER (momentum = 0.9) > 1
            QUALIFY 1 = row_number() OVER (
                PARTITION BY study, source, epoch, target, batch_size, rest
                ORDER BY bool_or(is_default) DESC, "lambda" DESC)
        )
        FROM (
            SELECT 'a' AS part, study, setting_source, source_place, target, target_place,
                batch_size, alpha AS fixed, alpha, momentum AS setting,
                'λ = ' || format('{{:g}}', "lambda") AS line, -"lambda" AS colour_place, {_POINT}
            FROM momenta WHERE isfinite(final_top1) GROUP BY ALL
            UNION ALL
            SELECT 'b', study, setting_source, source_place, target, target_place,
                batch_size, "lambda", NULL, alpha,
                'm = ' || format('{{:g}}', momentum), 10 - momentum, {_POINT}
            FROM rates SEMI JOIN decays
                USING (study, source, epoch, target, batch_size, rest, "lambda")
            WHERE isfinite(final_top1) GROUP BY ALL
        )
        ORDER BY {ORDER}, part, batch_size DESC, fixed, colour_place, setting
    """,
    panel=("setting_source", "target", "part", "batch_size", "fixed"),
    panel_title=_title,
    draw=draw,
    absent="No study tries three momenta at one learning rate.",
    colour="line",
)
