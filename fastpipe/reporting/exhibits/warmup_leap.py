"""The leap when classifier warm-up ends (FAST, Fig. 7)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.arms import arm_colour, pick, picked
from fastpipe.reporting.drawing.axes import fraction_axis
from fastpipe.reporting.drawing.bands import HEIGHT
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.text import rounded
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """A thin line for each run, shifted so that the switch is at 0; 20 steps after it shaded."""
    choice = pick()
    data = alt.InlineData(
        values=[
            {name: row[name] for name in ("arm", "seed", "step", "since")}
            | {"top1": rounded(row["top1"])}
            for row in rows
        ]
    )
    first, last = -min(row["since"] for row in rows), max(row["since"] for row in rows)
    runs = alt.Chart(data).encode(
        x=alt.X(
            "since:Q",
            title="fine-tuning steps since the switch to joint training",
            axis=alt.Axis(values=list(range(-20 * (first // 20), last + 1, 20))),
        ),
        y=alt.Y(
            "top1:Q",
            title="Validation accuracy (top-1, %)",
            scale=alt.Scale(zero=False),
            axis=fraction_axis(),
        ),
        color=arm_colour(arms, [row["arm"] for row in rows]),
        detail="seed:N",
    )
    lines = runs.mark_line(strokeWidth=1.6).encode(opacity=picked(choice, 0.75, 0.08))
    dots = runs.mark_point(filled=True, size=22).encode(
        opacity=picked(choice, 0.9, 0.08),
        tooltip=[
            alt.Tooltip("arm:N", title="arm"),
            alt.Tooltip("seed:N", title="seed"),
            alt.Tooltip("step:Q", title="step", format=","),
            alt.Tooltip("since:Q", title="since the switch", format="+"),
            alt.Tooltip("top1:Q", title="validation accuracy", format=".1%"),
        ],
    )
    return alt.layer(*_switch(), lines.add_params(choice), dots).properties(height=HEIGHT)


def _switch() -> tuple[alt.Chart, alt.Chart, alt.Chart]:
    """The 20 steps that claim A5 looks at, the switch, and what it is."""
    at = alt.Chart(alt.InlineData(values=[{"from": 0, "to": 20, "note": "switch"}]))
    return (
        at.mark_rect(style="window").encode(x="from:Q", x2="to:Q"),
        at.mark_rule(style="guide").encode(x="from:Q"),
        at.mark_text(style="note", align="left", dx=5, dy=-6, baseline="bottom").encode(
            x="from:Q", y=alt.value(HEIGHT), text="note:N"
        ),
    )


EXHIBIT = Exhibit(
    id="warmup-leap",
    place=4,
    short="Leaving warm-up",
    title="What happens when warm-up ends?",
    lede=(
        "Warm-up trains only the classifier, until validation accuracy stalls; then the body is "
        "released. If accuracy drops just after the switch, the body was pushed too far at once."
    ),
    paper=(
        "Validation accuracy falls visibly at the switch, whatever the initialisation (Fig. 7: "
        "ResNet-18, ImageNet to CIFAR-100, a single seed)."
    ),
    here=(
        "One line for each seed, shifted so that its own switch is at 0, with FAST on the same "
        "steps of the same seed. Shown up to 80 steps after it; shaded: the 20 that "
        "claim A5 looks at."
    ),
    query="""
        SELECT
            w.study, w.setting_source, w.setting_epoch, w.target, w.arm AS warmup,
            r.arm, r.seed, v.step, v.step - w.warmup_end_step AS since, v.top1
        FROM comparison AS w
        JOIN comparison AS r USING (study, setting_source, setting_epoch, target, seed)
        JOIN validations AS v
            ON (v.source, v.epoch, v.target, v.recipe, v.seed)
                = (r.source, r.epoch, r.target, r.recipe, r.seed)
        WHERE w.role = 'warmup' AND w.warmup_end_step IS NOT NULL
            AND (r.role = 'fast' OR r.arm = w.arm)
            AND isfinite(v.top1) AND v.step <= w.warmup_end_step + 80
        ORDER BY w.study, w.setting_source, w.target, w.position, r.position, r.seed, v.step
    """,
    panel=("setting_source", "target", "warmup"),
    panel_title=lambda row: f"{row['target']}: {row['warmup']}",
    draw=draw,
    absent="No arm has left a warm-up phase.",
)
