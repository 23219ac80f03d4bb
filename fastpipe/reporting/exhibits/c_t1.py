"""The datasets of a study (Li et al., ICLR 2020, Table 1)."""

from collections.abc import Sequence

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.drawing.variants import VARIANTS
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

_COUNTS = {"classes": "classes", "train": "training", "val": "validation", "test": "test"}


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """A row for each dataset; task and changes only where a card tells any."""
    del arms
    shown = {"uses": "used as"}
    shown |= {name: name for name in ("task", "changes") if any(row[name] for row in rows)}
    return Table(
        columns=["dataset", *_COUNTS.values(), *shown.values()],
        rows=[
            [row["dataset"], *(_count(row[name]) for name in _COUNTS),
             *(row[name] or "–" for name in shown)]
            for row in rows
        ],
        values=[{name: row[name] for name in ("dataset", *_COUNTS, *shown)} for row in rows],
    )  # fmt: skip


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


EXHIBIT = Exhibit(
    id="C-T1",
    short="Datasets",
    title="What is learned, and from how many images?",
    lede=(
        "Targets first, from the most similar to the first source to the least, then what the "
        "sources were trained on. Settings are chosen on the validation images; errors are those "
        "on the test images."
    ),
    paper=(
        "Table 1 (classes; training, test images): Flowers 102; 2,040, 6,149. Birds 200; 5,994, "
        "5,794. Aircrafts 100; 6,667, 3,333. Cars 196; 8,144, 8,041. Dogs 120; 12,000, 8,580. "
        "Indoor 67; 5,360, 1,340 (scenes). Caltech 256; 15,360, 15,189 (general objects). "
        "iNaturalist 5,089; 665,571, 9,599. Places 365; 1,803,460, 36,500 (scenes). The others "
        "are fine-grained. Its validation errors are those on the test images."
    ),
    here=(
        "The prepared splits. Changes are made to all images of a dataset, training and test alike."
    ),
    query=f"""
        WITH {VARIANTS},
        named AS (
            SELECT DISTINCT study, target AS dataset, target_place AS place, 'target' AS uses,
                source AS setting_source
            FROM arms JOIN targets USING (target)
            UNION ALL
            SELECT DISTINCT study, dataset, 1000 + source_place, 'source of ' || source, source
            FROM arms JOIN snapshots USING (source, epoch) JOIN sources USING (source)
            WHERE role <> 'scratch'
        )
        SELECT study, dataset, len(classes) AS classes, train, val, test,
            string_agg(DISTINCT uses, ', ' ORDER BY uses DESC) AS uses,
            json_extract_string(card, '$.task') AS task,
            array_to_string(from_json(json_extract(card, '$.transforms'), '["VARCHAR"]'), ', ')
                AS changes,
            min(setting_source) AS setting_source
        FROM named JOIN datasets USING (dataset)
        GROUP BY ALL
        ORDER BY study, min(place)
    """,
    panel=(),
    panel_title=lambda row: "Datasets",
    draw=draw,
    absent="No arms.",
    legend=False,
    layout="rows",
)
