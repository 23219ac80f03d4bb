"""Similarity and the best effective learning rate (Li et al., ICLR 2020, Table 4)."""

from collections.abc import Sequence

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.drawing.text import number
from fastpipe.reporting.drawing.variants import best_by, by_place, start_title
from fastpipe.reporting.numbers import plus_minus, scores
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

_RANKS = 4


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """A row for each target, the most similar first; a similarity for each network's features."""
    del arms
    extractors = dict.fromkeys(row["extractor"] for row in rows if row["extractor"])
    best = {row["target"]: row for row in rows}
    found = {(row["target"], row["extractor"]): row["similarity"] for row in rows}
    own = next(iter(extractors), None)
    targets = sorted(by_place(rows), key=lambda target: -(found.get((target, own)) or 0.0))
    return Table(
        columns=["target", "best η/(1 − m)", "its test error, %",
                 *(f"similarity ({one})" for one in extractors)],
        rows=[
            [target, number(best[target]["elr"]),
             plus_minus(best[target]["error"], best[target]["half_width"], "percent"),
             *(scores(found.get((target, one))) for one in extractors)]
            for target in targets
        ],
        values=[_numbers(row) for row in rows],
        marks={
            (i, j): f"rank-{_rank(found, target, one)}"
            for i, target in enumerate(targets)
            for j, one in enumerate(extractors, 3)
        },
    )  # fmt: skip


def _rank(found: dict[tuple[str, str], float | None], target: str, extractor: str) -> int:
    """1 for the most similar target in these features; 0 beyond the fourth, or if unknown."""
    own = found.get((target, extractor))
    if own is None:
        return 0
    above = sum(
        value is not None and value > own for (_, one), value in found.items() if one == extractor
    )
    return above + 1 if above < _RANKS else 0


def _numbers(row: Row) -> Row:
    names = ("setting_source", "target", "extractor", "similarity", "elr", "momentum", "rate",
             "decay", "val_top1", "error", "half_width", "seeds")  # fmt: skip
    return {name: row[name] for name in names}


EXHIBIT = Exhibit(
    id="C-T4",
    short="Similarity, best rate",
    title="Does similarity tell the best effective learning rate?",
    lede=(
        "If it does, the rate grows from the most similar target, on top, to the least. The four "
        "most similar targets are numbered."
    ),
    paper=(
        "Table 4 (similarity, best rate; ResNet-101). ImageNet: Dogs 0.862, 0.001; Caltech 0.892, "
        "0.005; Indoor 0.856, 0.01; Birds 0.860, 0.05; Cars 0.845, 0.5; Aircrafts 0.840, 1.0; "
        "Flowers 0.844, 0.1. iNaturalist: 0.854, 0.05; 0.871, 0.1; 0.843, 0.1; 0.901, 0.005; "
        "0.847, 1.0; 0.846, 0.5; 0.879, 0.1. Places: 0.856, 0.5; 0.888, 0.05; 0.901, 0.05; 0.861, "
        "0.5; 0.864, 1.0; 0.853, 0.5; 0.851, 1.0. With DenseNet-121 and MobileNet the same four "
        "targets are the most similar to ImageNet, and their best rates are the four smallest, "
        "but for one tie."
    ),
    here=(
        "Similarity exp(−γ d) in the features of the network named in brackets, of the source "
        "itself first. The rate is that of the variant with the best mean validation accuracy; "
        "its mean test error ± half the width of the 95 % interval over seeds."
    ),
    query=f"""
        WITH {best_by("elr")},
        own AS (
            SELECT source, epoch, target, similarity,
                format('{{}}@{{:g}}', source, epoch) AS extractor
            FROM similarity
        ),
        compared AS (
            SELECT *, 0 AS extractor_place FROM own
            UNION ALL
            SELECT source, epoch, target, similarity, extractor, 1
            FROM extractor_similarity ANTI JOIN own USING (source, epoch, target, extractor)
        )
        SELECT best.*, extractor, similarity
        FROM best
        LEFT JOIN compared
            ON (compared.source, compared.epoch, compared.target)
                = (setting_source, best.epoch, best.target)
        WHERE chosen AND start = 'fine-tuned'
        ORDER BY study, source_place, extractor_place, extractor, target_place
    """,
    panel=("setting_source",),
    panel_title=start_title,
    draw=draw,
    absent="No runs of SGD with one learning rate for head and body.",
    legend=False,
    layout="rows",
)
