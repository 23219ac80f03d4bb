"""Momentum on a quadratic bowl, from far and from near (Li et al. 2020, Fig. 2)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.arms import arm_colour, pick, picked
from fastpipe.reporting.drawing.axes import count_axis
from fastpipe.reporting.drawing.bands import HEIGHT
from fastpipe.reporting.drawing.bowl import contour, nesterov_path, steps_to_stay
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.text import rounded
from fastpipe.reporting.tables import Row

__all__ = ["CURVATURES", "EXHIBIT", "LR", "STARTS", "STEPS"]

CURVATURES = (0.05, 1.0)
LR = 0.3
STEPS = 40
STARTS = {"far": (-10.0, 3.0), "near": (-0.1, 4.0)}
_RADIUS = 0.5
_LEVELS = (0.05, 0.3, 1.0, 2.5, 5.0, 9.0)
_WIDTHS = {"far": (-12.0, 6.0), "near": (-0.5, 0.5)}
_HEIGHTS = (-4.6, 4.6)
_NAMES = {"far": "Far from the minimum", "near": "Near the minimum"}


def draw(rows: Sequence[Row], lines: Sequence[str]) -> alt.LayerChart:
    """One path for each momentum over the bowl's contours."""
    start, choice = rows[0]["start"], pick("momentum_name")
    drawn = [point for row in rows for point in _path(row)]
    paths = alt.Chart().encode(
        x=_x(start), y=_y(),
        color=arm_colour(lines, [row["momentum_name"] for row in rows], "momentum_name"),
    )  # fmt: skip
    line = paths.mark_line(strokeWidth=2, clip=True).encode(
        order="step:Q", opacity=picked(choice, 1.0, 0.12)
    )
    dots = paths.mark_point(filled=True, size=26, clip=True).encode(
        opacity=picked(choice, 1.0, 0.1),
        tooltip=[
            alt.Tooltip("momentum_name:N", title="momentum"),
            alt.Tooltip("step:Q", title="step"),
            alt.Tooltip("loss:Q", title="loss", format=".3~g"),
            alt.Tooltip("arrived:N", title="within 0.5 of the minimum for good"),
        ],
    )
    return alt.layer(_contours(start), line.add_params(choice), dots, _landmarks(rows)).properties(
        height=HEIGHT, data=alt.InlineData(values=drawn)
    )


def _path(row: Row) -> list[Row]:
    positions, _ = nesterov_path(STARTS[row["start"]], CURVATURES, LR, row["momentum"], 1000)
    arrived = steps_to_stay(positions, _RADIUS)
    losses = 0.5 * (positions**2 @ CURVATURES)
    return [
        {"momentum_name": row["momentum_name"], "step": step, "x": rounded(float(x)),
         "y": rounded(float(y)), "loss": rounded(float(loss)), "arrived": f"from step {arrived}"}
        for step, ((x, y), loss) in enumerate(zip(positions, losses, strict=True))
        if step <= STEPS
    ]  # fmt: skip


def _x(start: str) -> alt.X:
    scale = alt.Scale(domain=list(_WIDTHS[start]), nice=False)
    return alt.X("x:Q", title="flat direction θ1", scale=scale, axis=count_axis())


def _y() -> alt.Y:
    scale = alt.Scale(domain=list(_HEIGHTS), nice=False)
    return alt.Y("y:Q", title="steep direction θ2", scale=scale, axis=count_axis())


def _contours(start: str) -> alt.Chart:
    points = [
        {"level": level, "order": order, "x": rounded(float(x)), "y": rounded(float(y))}
        for level in _LEVELS
        for order, (x, y) in enumerate(contour(level, CURVATURES))
    ]
    chart = alt.Chart(alt.InlineData(values=points))
    return chart.mark_line(style="guide", strokeWidth=1, opacity=0.5, clip=True).encode(
        x=_x(start), y=_y(), detail="level:N", order="order:Q"
    )


def _landmarks(rows: Sequence[Row]) -> alt.LayerChart:
    """Where the paths start, and the minimum."""
    x, y = STARTS[rows[0]["start"]]
    places = [{"x": x, "y": y, "name": "start"}, {"x": 0.0, "y": 0.0, "name": "minimum"}]
    base = alt.Chart(alt.InlineData(values=places)).encode(x=_x(rows[0]["start"]), y=_y())
    return alt.layer(
        base.mark_point(style="series", filled=True, opacity=1, size=60),
        *(
            base.mark_text(style=style, dy=15, dx=6, align="left").encode(text="name:N")
            for style in ("halo", "note")
        ),
    )


EXHIBIT = Exhibit(
    id="C-F2",
    short="A bowl",
    title="Why might momentum help from far and hinder from near?",
    lede=(
        "An illustration, not a measurement. From far, momentum rolls along the flat direction "
        "while plain descent crawls; where only the steep direction is left to go, it swings past "
        "the minimum, and plain descent is there first."
    ),
    paper=(
        "Fig. 2 sketches the same four cases without numbers: at a fixed step size, momentum "
        "speeds up a start that is far from the minimum and may impede one that is close."
    ),
    here=(
        f"Exact paths of equations 1–2 without weight decay on a bowl of curvatures "
        f"{CURVATURES[0]:g} and {CURVATURES[1]:g}: η = {LR:g}, {STEPS} steps, one dot each. On a "
        "bowl a path scales with its start, so distance alone changes nothing: the two starts "
        "differ in which direction they have left to go."
    ),
    query="""
        SELECT studies.name AS study, scenes.*
        FROM studies
        CROSS JOIN (VALUES ('far', 'm = 0.9', 0.9e0, 0), ('far', 'm = 0', 0e0, 1),
            ('near', 'm = 0.9', 0.9e0, 0), ('near', 'm = 0', 0e0, 1))
            AS scenes(start, momentum_name, momentum, colour_place)
        WHERE list_contains(exhibits, 'C-F2')
        ORDER BY study, start, colour_place
    """,
    panel=("start",),
    panel_title=lambda row: _NAMES[row["start"]],
    draw=draw,
    absent="No study asks for it.",
    colour="momentum_name",
)
