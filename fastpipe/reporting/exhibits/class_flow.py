"""The optimal transport behind domain similarity, class by class."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.text import rounded
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

MOST_CLASSES = 30
"""At most so many classes are shown on either side: those with most mass."""


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """A row for each target class: where its mass comes from, in percent of the class."""
    del arms
    targets = list(dict.fromkeys(row["target_class"] for row in rows))
    sources = sorted({row["source_class"] for row in rows}, key=_natural)
    values = [
        {name: row[name] for name in ("source_class", "target_class")}
        | {"share": rounded(row["share"], 4), "flow": rounded(row["flow"], 4)}
        for row in rows
    ]
    # Orders are given as domains: `sort=[…]` would write the names into a Vega expression, whose
    # parser stops at some characters.
    cells = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X(
            "source_class:N",
            title="source class",
            sort=None,
            scale=alt.Scale(domain=sources),
            axis=alt.Axis(labelAngle=0 if max(map(len, sources)) < 4 else -45, labelLimit=90,
                          ticks=False, domain=False),
        ),
        y=alt.Y("target_class:N", title="target class", sort=None, scale=alt.Scale(domain=targets),
                axis=alt.Axis(labelLimit=110, grid=False)),
    )  # fmt: skip
    labels = cells.mark_text().encode(text=alt.Text("share:Q", format=".0%"))
    return alt.layer(
        cells.mark_rect(style="flow", cornerRadius=2).encode(
            opacity=alt.Opacity(
                "share:Q", scale=alt.Scale(domain=[0, 1], range=[0.06, 1]), legend=None
            ),
            tooltip=[
                alt.Tooltip("target_class:N", title="target class"),
                alt.Tooltip("source_class:N", title="source class"),
                alt.Tooltip("share:Q", title="share of the target class", format=".1%"),
                alt.Tooltip("flow:Q", title="share of all mass", format=".2%"),
            ],
        ),
        labels.transform_filter("datum.share >= 0.095 && datum.share < 0.6").mark_text(
            style="off-flow"
        ),
        labels.transform_filter("datum.share >= 0.6").mark_text(style="on-flow"),
    ).properties(height=max(120, 29 * len(targets)))


def _natural(name: str) -> tuple[int, float, str]:
    """Numbers in numerical order, before other names."""
    return (0, float(name), "") if name.isdecimal() else (1, 0.0, name)


EXHIBIT = Exhibit(
    id="class-flow",
    place=10,
    short="Class flow",
    title="Which source classes serve which target class?",
    lede=(
        "The same transport, class by class. A row that is one dark cell has found a single "
        "source class to resemble; a row that is spread out resembles none in particular."
    ),
    paper="Cui et al. (2018) introduce the transport; none of the papers shows it class by class.",
    here=(
        "Share of each target class's mass that comes from each source class, at the last "
        f"snapshot; rows add up to 100 %. At most {MOST_CLASSES} classes on either side, those "
        "with most mass; shares below 9.5 % are not printed."
    ),
    query=f"""
        WITH shares AS (
            SELECT flow.*, study,
                sum(flow) OVER (PARTITION BY study, source, target, target_class) AS target_mass,
                sum(flow) OVER (PARTITION BY study, source, target, source_class) AS source_mass
            FROM flow
            JOIN settings USING (source, epoch, target)
        ),
        ranked AS (
            SELECT *, flow / target_mass AS share,
                dense_rank() OVER (pair ORDER BY target_mass DESC, target_class) AS row_rank,
                dense_rank() OVER (pair ORDER BY source_mass DESC, source_class) AS column_rank
            FROM shares
            WINDOW pair AS (PARTITION BY study, source, target)
        )
        SELECT study, source AS setting_source, target, source_class, target_class, flow, share,
            list_position(classes, target_class) AS position
        FROM ranked
        LEFT JOIN datasets ON datasets.dataset = ranked.target
        WHERE row_rank <= {MOST_CLASSES} AND column_rank <= {MOST_CLASSES} AND share > 0.001
        ORDER BY study, source, target, position, target_class, source_class
    """,
    panel=("setting_source", "target"),
    draw=draw,
    absent="No class flow has been kept.",
    legend=False,
)
