"""Domain similarity of source and target (Cui et al. 2018)."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.axes import count_axis, epoch_axis
from fastpipe.reporting.drawing.bands import HEIGHT
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.text import rounded
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
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
            axis=count_axis(),
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
            axis=count_axis(),
        ),
        y=alt.Y("target:N", title="target", sort=None, scale=alt.Scale(domain=targets)),
        tooltip=_SIMILARITY_TOOLTIP,
    )
    dots = base.mark_point(filled=True, size=70, opacity=1, style="series")
    text = base.mark_text(style="note", dy=-12).encode(text=alt.Text("similarity:Q", format=".3f"))
    return alt.layer(dots, text).properties(height=48 * max(2, len(targets)))


EXHIBIT = Exhibit(
    id="similarity",
    place=9,
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
        SELECT study, source AS setting_source, epoch, target, similarity, distance, gamma
        FROM similarity
        JOIN (SELECT DISTINCT study, source, epoch, target FROM arms)
            USING (source, epoch, target)
        ORDER BY study, source, target, epoch
    """,
    panel=("setting_source",),
    panel_title=lambda row: f"source {row['setting_source']}",
    draw=draw,
    absent="No similarity has been computed.",
    legend=False,
)
