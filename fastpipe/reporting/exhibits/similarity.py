"""Domain similarity, and the transport that it comes from."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.exhibits.exhibit import HEIGHT, Exhibit, epoch_axis, rounded, setting_title
from fastpipe.reporting.tables import Row

__all__ = ["FLOW", "SIMILARITY"]

MOST_CLASSES = 30
"""The class-flow picture shows at most so many classes on either side: those with most mass."""


def draw_similarity(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """Similarity of each target against pretraining epoch; the target's name ends its line.

    With only one snapshot, a row for each target instead.
    """
    del arms
    if len({row["epoch"] for row in rows}) == 1:
        return _one_snapshot(rows)
    last = max(row["epoch"] for row in rows)
    base = alt.Chart(_similarity_data(rows)).encode(
        x=alt.X(
            "epoch:Q",
            title="pretraining epochs of the source (square-root scale)",
            scale=alt.Scale(type="sqrt", nice=False, zero=True),
            axis=epoch_axis(row["epoch"] for row in rows),
        ),
        y=alt.Y(
            "similarity:Q",
            title="Similarity to the source, exp(−γ d), at most 1",
            scale=alt.Scale(zero=False, padding=16),
            axis=alt.Axis(tickCount=5),
        ),
        detail="target:N",
    )
    return alt.layer(
        base.mark_line(strokeWidth=2, style="series"),
        base.mark_point(filled=True, size=50, opacity=1, style="series").encode(
            tooltip=_SIMILARITY_TOOLTIP,
        ),
        *(
            base.transform_filter(alt.datum.epoch == last)
            .mark_text(style=style, align="right", baseline="bottom", dy=-9, fontSize=12)
            .encode(text="target:N")
            for style in ("halo", "note")
        ),
    ).properties(height=HEIGHT)  # fmt: skip


_SIMILARITY_TOOLTIP = [
    alt.Tooltip("target:N", title="target"),
    alt.Tooltip("epoch:Q", title="pretraining epochs", format="~g"),
    alt.Tooltip("similarity:Q", title="similarity", format=".3f"),
    alt.Tooltip("distance:Q", title="earth mover’s distance d", format=".4~g"),
    alt.Tooltip("gamma:Q", title="γ"),
]


def _similarity_data(rows: Sequence[Row]) -> alt.InlineData:
    return alt.InlineData(
        values=[
            {name: row[name] for name in ("target", "epoch", "gamma")}
            | {name: rounded(row[name]) for name in ("similarity", "distance")}
            for row in rows
        ]
    )


def _one_snapshot(rows: Sequence[Row]) -> alt.LayerChart:
    targets = [row["target"] for row in sorted(rows, key=lambda row: -row["similarity"])]
    base = alt.Chart(_similarity_data(rows)).encode(
        x=alt.X(
            "similarity:Q",
            title="similarity to the source, exp(−γ d), at most 1",
            scale=alt.Scale(zero=False, padding=24),
            axis=alt.Axis(tickCount=5),
        ),
        y=alt.Y("target:N", title="target", sort=None, scale=alt.Scale(domain=targets)),
        tooltip=_SIMILARITY_TOOLTIP,
    )
    dots = base.mark_point(filled=True, size=70, opacity=1, style="series")
    text = base.mark_text(style="note", dy=-12).encode(text=alt.Text("similarity:Q", format=".3f"))
    return alt.layer(dots, text).properties(height=48 * max(2, len(targets)))


def draw_flow(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
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


SIMILARITY = Exhibit(
    id="similarity",
    short="Similarity",
    title="How similar are source and target?",
    lede=(
        "Each class is summarised by the mean of its features. The least total work that turns "
        "the source's class means into the target's is the earth mover's distance d; similarity "
        "is exp(−γ d), 1 for identical domains."
    ),
    paper=(
        "Cui et al. (2018) choose sources by this similarity, and Li et al., “Rethinking the "
        "hyperparameters for fine-tuning” (Fig. 4), find that the more similar the source, the "
        "smaller the learning rate that works best."
    ),
    here=(
        "Exact optimal transport between class means of training images, in the features of each "
        "snapshot. Features grow as the source is trained, so distances at different epochs have "
        "different units: compare targets at one epoch."
    ),
    query="""
        SELECT source AS setting_source, epoch, target, similarity, distance, gamma
        FROM similarity
        ORDER BY source, target, epoch
    """,
    panel=("setting_source",),
    panel_title=lambda row: f"source {row['setting_source']}",
    draw=draw_similarity,
    absent="No similarity has been computed.",
    legend=False,
)

FLOW = Exhibit(
    id="class-flow",
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
            SELECT flow.*,
                sum(flow) OVER (PARTITION BY source, target, target_class) AS target_mass,
                sum(flow) OVER (PARTITION BY source, target, source_class) AS source_mass
            FROM flow
            JOIN settings USING (source, epoch, target)
        ),
        ranked AS (
            SELECT *, flow / target_mass AS share,
                dense_rank() OVER (pair ORDER BY target_mass DESC, target_class) AS row_rank,
                dense_rank() OVER (pair ORDER BY source_mass DESC, source_class) AS column_rank
            FROM shares
            WINDOW pair AS (PARTITION BY source, target)
        )
        SELECT source AS setting_source, target, source_class, target_class, flow, share,
            list_position(classes, target_class) AS position
        FROM ranked
        LEFT JOIN datasets ON datasets.dataset = ranked.target
        WHERE row_rank <= {MOST_CLASSES} AND column_rank <= {MOST_CLASSES} AND share > 0.001
        ORDER BY source, target, position, target_class, source_class
    """,
    panel=("setting_source", "target"),
    panel_title=setting_title,
    draw=draw_flow,
    absent="No class flow has been kept.",
    legend=False,
)
