"""How far each layer of the body travels."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.axes import Log
from fastpipe.reporting.drawing.bands import log_chart, log_rows
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """Mean distance with its band for each arm, over the layer's place in the network."""
    log = Log(row["mean"] for row in rows)
    drawn = log_rows(rows, log)
    places = sorted({row["position"] for row in rows})
    x = alt.X(
        "position:Q",
        title="layer, counted from the input",
        scale=alt.Scale(domain=[places[0], max(places[-1], places[0] + 1)], nice=False, padding=8),
        axis=alt.Axis(
            values=places, labelExpr="format(datum.value + 1, 'd')", labelOverlap="parity"
        ),
    )
    chart = log_chart(
        drawn, arms, log, x=x, tooltip=[alt.Tooltip("layer:N", title="layer")], points=True,
        title="Distance of a layer from where it started (log scale)",
    )  # fmt: skip
    return chart.properties(data=alt.InlineData(values=drawn))


EXHIBIT = Exhibit(
    id="layer-distance",
    short="Distance by layer",
    title="Which layers move?",
    lede=(
        "The distance that the body travels, layer by layer: a flat line moves everything, one "
        "that rises leaves the early, general layers alone."
    ),
    paper="The FAST paper states the distance of the whole body only (Table 1).",
    here=(
        "Euclidean distance of each layer deployed at the end from the snapshot's, mean over "
        "seeds with its 95 % interval; layers differ in how many parameters they have. A layer "
        "that has not moved at all is drawn a decade below the rest."
    ),
    query="""
        SELECT study, setting_source, target, comparison.position AS place, arm,
            layers.position, layer,
            count(distance) AS seeds, avg(distance) AS mean, half_width95(distance) AS half_width
        FROM comparison
        JOIN layers USING (source, epoch, target, recipe, seed)
        WHERE isfinite(distance)
        GROUP BY ALL
        ORDER BY study, setting_source, target, place, layers.position
    """,
    panel=("setting_source", "target"),
    draw=draw,
    absent="No layer's distance has been measured.",
    place=7,
)
