"""Arms that differ in how the head starts (FAST, section 6.2): what three exhibits share."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.arms import pick
from fastpipe.reporting.drawing.axes import STEP_TITLE, last_step, step_axis
from fastpipe.reporting.drawing.bands import accuracy_chart, accuracy_rows
from fastpipe.reporting.drawing.queries import bands, chosen
from fastpipe.reporting.drawing.stacked import STACKED_HEIGHT, measured, of_measure, stack
from fastpipe.reporting.tables import Row

__all__ = ["ABSENT", "SAME_TASK", "SIGMAS", "both_tasks_query", "draw_both_tasks"]

SAME_TASK = "target = source_dataset"

SIGMAS = """
    head_init IN ('normal', 'zeros') AND role <> 'scratch' AND alpha = beta
    AND warmup = 'none' AND optimiser = 'sgd' AND momentum_form = 'torch'
"""
"""Heads drawn from N(0, σ), and otherwise the usual way: one rate for everything."""

ABSENT = "No arm starts its head from N(0, σ) with α = β on such a target."


def both_tasks_query(where: str) -> str:
    """ADP on the target and accuracy kept on the source, of the arms that `where` selects."""
    return f"""
        WITH {chosen(where)}
        FROM (
            ({bands("adp", measure="target")})
            UNION ALL
            ({bands("forgetting", measure="source")})
        )
        ORDER BY study, setting_source, target, measure DESC, position, step
    """


def draw_both_tasks(rows: Sequence[Row], arms: Sequence[str]) -> alt.VConcatChart:
    """ADP on Tt above the accuracy kept on Ts, over one axis of steps."""
    drawn, choice, last = accuracy_rows(rows), pick(), last_step(rows)
    target, source = (of_measure(drawn, measure) for measure in ("target", "source"))
    top = accuracy_chart(
        target, arms, title="ADP on the target Tt (top-1, %)",
        x=step_axis(last, None if source else STEP_TITLE), height=STACKED_HEIGHT,
    )  # fmt: skip
    if not source:
        return stack(drawn, measured(top, "target"))
    bottom = accuracy_chart(
        source, arms, title="ADP on the source Ts, under its own head (top-1, %)",
        x=step_axis(last), choice=choice, height=STACKED_HEIGHT,
    )  # fmt: skip
    return stack(drawn, measured(top, "target"), measured(bottom, "source"))
