"""Rates scaled together or apart (FAST, section 6.5): what two exhibits share."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.arms import pick
from fastpipe.reporting.drawing.axes import Log, last_step, step_axis
from fastpipe.reporting.drawing.bands import accuracy_chart, accuracy_rows, log_chart, log_rows
from fastpipe.reporting.drawing.queries import NEAR_ZERO, bands, chosen, norms
from fastpipe.reporting.drawing.stacked import STACKED_HEIGHT, measured, of_measure, stack
from fastpipe.reporting.tables import Row

__all__ = ["ABSENT", "PANEL", "draw_scaling", "scaling_query", "scaling_title"]

PANEL = ("setting_source", "target", "way")
ABSENT = "No such source has arms from a near-zero head with several rates α and β."

_WAYS = {"a": "(a) symmetric, α = β", "b": "(b) asymmetric, β alone"}


def scaling_query(where: str) -> str:
    """ADP and ‖W‖ of symmetric (`a`) and asymmetric (`b`) arms.

    The reference α is the one that asymmetric arms share; its symmetric arm is in both panels, as
    in the paper.
    """
    arms = chosen(f"""{where} AND {NEAR_ZERO} AND role <> 'scratch' AND alpha > 0 AND beta > 0
        AND warmup = 'none' AND optimiser = 'sgd' AND momentum_form = 'torch'""")
    return f"""
        WITH {arms},
        reference AS (
            SELECT study, setting_source, target, mode(alpha ORDER BY alpha) AS alpha
            FROM chosen WHERE alpha <> beta GROUP BY ALL
        ),
        lines AS (({bands("adp", measure="adp")}) UNION ALL ({norms("norm")})),
        placed AS (
            SELECT 'a' AS way, * FROM lines WHERE alpha = beta
            UNION ALL
            SELECT 'b' AS way, lines.* FROM lines
            SEMI JOIN reference USING (study, setting_source, target, alpha)
        ),
        several AS (
            SELECT study, setting_source, target, way FROM placed
            GROUP BY ALL HAVING count(DISTINCT arm) > 1
        )
        FROM placed
        SEMI JOIN several USING (study, setting_source, target, way)
        ORDER BY study, setting_source, target, way, measure, position, step
    """


def scaling_title(row: Row) -> str:
    """The target, and which rates are scaled."""
    return f"{row['target']}: {_WAYS[row['way']]}"


def draw_scaling(rows: Sequence[Row], arms: Sequence[str]) -> alt.VConcatChart:
    """ADP above the norm of the head, over one axis of steps."""
    choice, last = pick(), last_step(rows)
    adp = accuracy_rows(of_measure(rows, "adp"))
    log = Log(row["mean"] for row in of_measure(rows, "norm"))
    norm = log_rows(of_measure(rows, "norm"), log)
    top = accuracy_chart(
        adp, arms, title="ADP on the target (top-1, %)", x=step_axis(last, None),
        height=STACKED_HEIGHT,
    )  # fmt: skip
    bottom = log_chart(
        norm, arms, log, title="‖W‖, norm of the head (log scale)", x=step_axis(last),
        choice=choice, height=STACKED_HEIGHT,
    )  # fmt: skip
    return stack(adp + norm, measured(top, "adp"), measured(bottom, "norm"))
