"""The regularisation term against step, relative to its start (Li et al. 2020, Fig. 6)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.axes import Log, last_step, linear_step_axis
from fastpipe.reporting.drawing.bands import band_chart, log_rows
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.regularisers import ABSENT, NAMES, TUNED_REGULARISERS, setting
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], lines: Sequence[str]) -> alt.LayerChart:
    """A line for each target."""
    log = Log(row["mean"] for row in rows)
    drawn = log_rows([row | {"detail": setting(row)} for row in rows], log)
    chart = band_chart(
        drawn, lines, x=linear_step_axis(0, last_step(rows)),
        title="Regularisation term, relative to its start (log scale)", scale=log.scale(),
        axis=log.axis(), mean="mean_at:Q", points=False, field="line",
    )  # fmt: skip
    return chart.properties(data=alt.InlineData(values=drawn))


EXHIBIT = Exhibit(
    id="C-F6",
    short="Norms",
    title="What becomes of the term that is penalised?",
    lede=(
        "Both regularisers at their best settings. A line that falls below 1 is a network whose "
        "weights shrink; one that rises is a network that pays to move."
    ),
    paper=(
        "Fig. 6: seven targets from ImageNet at their best settings (ResNet-101, n = 64): L2 "
        "usually lowers the norm, the more the larger λ; L2-SP changes its term less; on Dogs both "
        "grow several-fold in the first iterations and then stay."
    ),
    here=(
        "‖θ_t‖² / ‖θ_0‖² for L2, body and head together, and (λ1 ‖θ′_t − θ′_0‖² + λ2 ‖θ″_t‖²) / "
        "(λ2 ‖θ″_0‖²) for L2-SP, with θ′ the body and θ″ the head; mean over seeds with its 95 % "
        "interval. L2-SP's reference is the state before the first step; L2's is the first state "
        "whose norm was recorded."
    ),
    query=f"""
        WITH {TUNED_REGULARISERS},
        looked AS (
            SELECT source, epoch, target, recipe, seed, step, body_norm, body_distance, head_norm
            FROM dynamics JOIN steps USING (source, epoch, target, recipe, seed, step)
            SEMI JOIN tuned USING (source, epoch, target, recipe, seed)
            UNION ALL
            SELECT source, epoch, target, recipe, seed, 0, NULL, 0, head_norm
            FROM steps SEMI JOIN tuned USING (source, epoch, target, recipe, seed)
            WHERE step = 0 AND (source, epoch, target, recipe, seed) NOT IN (
                SELECT (source, epoch, target, recipe, seed) FROM dynamics WHERE step = 0)
        ),
        terms AS (
            SELECT *, CASE regulariser
                WHEN 'l2' THEN body_norm ** 2 + head_norm ** 2
                ELSE "lambda" * body_distance ** 2
                    + coalesce(head_weight_decay, "lambda") * head_norm ** 2 END AS term
            FROM tuned JOIN looked USING (source, epoch, target, recipe, seed)
            WHERE term IS NOT NULL
        ),
        relative AS (
            SELECT *, term / first_value(term) OVER (
                PARTITION BY study, source, epoch, target, recipe, seed ORDER BY step) AS ratio
            FROM terms
        )
        SELECT study, setting_source, source_place, regulariser, target_place, target AS line,
            target_place AS colour_place, alpha, "lambda", step, count(ratio) AS seeds,
            avg(ratio) AS mean, half_width95(ratio) AS half_width
        FROM relative
        WHERE isfinite(ratio)
        GROUP BY ALL
        ORDER BY study, source_place, regulariser, target_place, step
    """,
    panel=("setting_source", "regulariser"),
    panel_title=lambda row: f"{NAMES[row['regulariser']]} from {row['setting_source']}",
    draw=draw,
    absent=ABSENT,
    colour="line",
)
