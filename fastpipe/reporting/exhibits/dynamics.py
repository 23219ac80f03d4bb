"""What drives an update: entropy, error and the body's step (FAST, section 4)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.axes import Log, count_axis, last_step, step_axis
from fastpipe.reporting.drawing.bands import band_chart, band_rows, log_chart, log_rows
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.queries import bands, chosen
from fastpipe.reporting.numbers import plain
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

_MEASURES = {
    "entropy": ("entropy of ŷ", "Entropy of predictions (nats)"),
    "error": ("mean ‖δ‖²", "Mean squared error ‖y − ŷ‖²"),
    "update": ("‖Δθ‖", "Length of the body's step"),
}
_HEIGHT = 190


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """One measure against step; lengths of steps are on a log axis."""
    title, x = _MEASURES[rows[0]["measure"]][1], step_axis(last_step(rows), "step (log scale)")
    if rows[0]["measure"] == "update":
        log = Log(row["mean"] for row in rows)
        drawn = log_rows(rows, log)
        chart = log_chart(drawn, arms, log, title=title, x=x, height=_HEIGHT)
    else:
        drawn = band_rows(rows, plain, floor=0.0)
        chart = band_chart(
            drawn, arms, x=x, title=title, scale=alt.Scale(zero=True), axis=count_axis(),
            points=False, height=_HEIGHT,
        )  # fmt: skip
    return chart.properties(data=alt.InlineData(values=drawn))


EXHIBIT = Exhibit(
    id="dynamics",
    short="Inside an update",
    title="What does an update look like from within?",
    lede=(
        "A head near zero predicts every class alike, the highest entropy there is, and its error "
        "shrinks before the body has been pushed far. A large random head moves the body from the "
        "first step."
    ),
    paper=(
        "Section 4 derives this and has no figure of it: at step 0 the entropy is ln N and the "
        "mean ‖δ‖² is 1 − 1/N (eqs 16 and 19), and the body's first steps shrink with αβ (eq. 22)."
    ),
    here=(
        "Of each batch whose step is validated, mean over seeds with its 95 % interval: entropy "
        "and error before the update, and the length of the body's step on a log scale. A length "
        "of 0 is drawn a decade below the rest."
    ),
    query=f"""
        WITH {chosen("true")}
        FROM (
            ({bands("dynamics", "entropy", measure="entropy")})
            UNION ALL ({bands("dynamics", "squared_error", measure="error")})
            UNION ALL ({bands("dynamics", "body_update", measure="update")})
        )
        ORDER BY study, setting_source, target, measure, position, step
    """,
    panel=("setting_source", "target", "measure"),
    panel_title=lambda row: f"{row['target']}: {_MEASURES[row['measure']][0]}",
    draw=draw,
    absent="No update has been looked at closely.",
    place=11,
    layout="thirds",
)
