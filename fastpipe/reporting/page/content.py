"""What the page says: rows and sentences for the template, as plain text."""

import json
from collections.abc import Sequence
from typing import Any

from fastpipe.reporting.charts import Figure, Panel, asked_exhibits
from fastpipe.reporting.claims.verdicts import Verdicts
from fastpipe.reporting.drawing.arms import DASHES
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.numbers import count, epochs
from fastpipe.reporting.page.claims import claims_section
from fastpipe.reporting.page.final_numbers import final_tables
from fastpipe.reporting.page.studies import arm_labels, study_sections, study_titles
from fastpipe.reporting.summary import summarise
from fastpipe.reporting.tables import Row, Tables
from fastpipe.reporting.theme import ARM_COLOURS

__all__ = ["figure_content", "page_content"]


def page_content(
    tables: Tables, figures: Sequence[Figure], verdicts: Sequence[Verdicts]
) -> dict[str, Any]:
    """Everything the template shows, besides the charts' specs.

    Args:
        tables: the study.
        figures: figures with at least one panel.
        verdicts: judged claims.
    """
    study = tables.rows("FROM studies ORDER BY position")[0]
    shown = [
        figure_content(number, figure, _scale_note(tables, figure))
        for number, figure in enumerate(figures, 1)
    ]
    titles = study_titles(tables)
    final = final_tables(tables, titles, arm_labels(tables))
    return {
        "study": study["name"],
        "title": study["title"],
        "description": study["description"],
        "scale": study["scale"],
        "summary": summarise(tables, verdicts),
        "studies": study_sections(tables),
        "claims": claims_section(verdicts, shown, titles),
        "figures": shown,
        "tables": final,
        "measured": {column["name"] for table in final for column in table["columns"]},
        "datasets": [_dataset(row) for row in tables.rows("FROM datasets ORDER BY rowid")],
        "notes": _notes(tables, figures, bool(verdicts)),
        "contents": _contents(figures, bool(verdicts), bool(final)),
    }


def _contents(figures: Sequence[Figure], claims: bool, final: bool) -> list[dict[str, Any]]:
    entries = [("summary", "In short", False), ("arms", "What is compared", False)]
    entries += [("claims", "Claims", False)] if claims else []
    entries += [(figure.id, figure.exhibit.short, False) for figure in figures]
    entries += [("final-table", "Final numbers", False)] if final else []
    entries += [("methods", "Data and methods", False)]
    return [{"id": id, "label": label, "inner": inner} for id, label, inner in entries]


def figure_content(number: int, figure: Figure, scale_note: str) -> dict[str, Any]:
    """What the template shows of a figure besides its charts' specs."""
    exhibit = figure.exhibit
    legend = [
        {
            "label": label,
            "index": index,
            "colour": index % ARM_COLOURS,
            "dash": index // ARM_COLOURS % len(DASHES),
        }
        for index, label in enumerate(figure.domain)
        if label in set(figure.arms)
    ]
    return {
        "id": figure.id,
        "exhibit": exhibit.id,
        "study": figure.study,
        "number": number,
        "kind": "Figure" if figure.charts else "Table",
        "of_paper": exhibit.of_paper,
        "title": exhibit.title,
        "lede": exhibit.lede,
        "paper": exhibit.paper,
        "here": exhibit.here,
        "scale_note": scale_note,
        "layout": exhibit.layout,
        "legend": legend if exhibit.legend and figure.charts else [],
        "panels": [_panel(panel) for panel in figure.panels],
    }


def _panel(panel: Panel) -> dict[str, Any]:
    table = panel.drawing if isinstance(panel.drawing, Table) else None
    return {
        "id": panel.id,
        "title": panel.title,
        "table": table and {"columns": table.columns, "rows": _marked_cells(table)},
        "downloads": ["csv"] if table else ["svg", "png", "csv"],
    }


def _marked_cells(table: Table) -> list[list[dict[str, str]]]:
    return [
        [{"text": text, "mark": table.marks.get((i, j), "")} for j, text in enumerate(row)]
        for i, row in enumerate(table.rows)
    ]


def _scale_note(tables: Tables, figure: Figure) -> str:
    """At which scale the numbers of a figure were made, next to the paper's."""
    if not figure.sources:
        return ""
    networks = tables.rows(
        "SELECT DISTINCT backbone, dataset FROM snapshots WHERE source IN (SELECT unnest(?)) "
        "ORDER BY ALL",
        [figure.sources],
    )
    parts = [
        f"{row['backbone']} on {row['dataset']}" if row["dataset"] else row["backbone"]
        for row in networks
    ] or ["unknown network"]
    if figure.seeds is not None:
        (row,) = tables.rows(
            "SELECT max(steps) AS steps FROM arms JOIN runs USING (source, epoch, target, recipe) "
            "WHERE study = ?",
            [figure.study],
        )
        parts.append(f"{count(figure.seeds, 'seed')}")
        parts.append(f"up to {row['steps'] or 0:,} steps")
    written = tables.rows("SELECT scale FROM studies WHERE name = ?", [figure.study])
    scale = next((row["scale"] for row in written if row["scale"]), "")
    return (
        f"Scale: {scale.rstrip('.')} ({', '.join(parts)})."
        if scale
        else (f"Scale: {', '.join(parts)}.")
    )


# --- data and methods -----------------------------------------------------------------------------


def _dataset(row: Row) -> dict[str, str]:
    counts = {name: "–" if row[name] is None else f"{row[name]:,}" for name in _SPLITS}
    colour = {1: "grey", 3: "colour"}.get(row["channels"], "")
    return counts | {
        "dataset": row["dataset"],
        "classes": str(len(row["classes"] or [])),
        "size": f"{row['size']} × {row['size']} {colour}",
    }


_SPLITS = ("train", "val", "test")


def _notes(tables: Tables, figures: Sequence[Figure], judged: bool) -> list[str]:
    snapshots = tables.rows("FROM settings ORDER BY source, target")
    at = sorted({f"{row['source']} after {epochs(row['epoch'])}" for row in snapshots})
    machines = tables.rows("SELECT DISTINCT device, precision FROM runs ORDER BY ALL")
    used = ", ".join(f"{row['device']} in {row['precision']}" for row in machines if row["device"])
    notes = [
        f"Arms are compared at the last snapshot of their source ({'; '.join(at)}). Scratch runs "
        "start from the same network before pretraining.",
        "Training, validation and test splits are separate. Validation chooses which state is "
        "deployed at each checkpoint; test images are used only to score the states chosen.",
        "Intervals are Student-t at 95 %, over seeds or over differences paired by seed; from ten "
        "pairs on, a BCa bootstrap interval stands beside them.",
    ]
    if judged:
        notes.append(
            "p-values of differences are two-sided; “no worse” and “no difference” are tested "
            "one-sided against their margin. All are corrected by Holm's method over all claims "
            "and settings of this report. A claim takes the largest p of its comparisons if all "
            "lie on the paper's side; effect size is the mean difference over its standard "
            "deviation. Exact checks have no p: every value must lie within their tolerance."
        )
    if used:
        notes.append(f"Fine-tuned on {used}.")
    return notes + _repeated(tables) + _left_out(tables) + _not_shown(tables, figures)


def _repeated(tables: Tables) -> list[str]:
    """Images that a dataset's card counts as repeated, contradictory or unreadable."""
    notes = []
    for row in tables.rows("FROM datasets ORDER BY rowid"):
        card = json.loads(row["card"] or "{}")
        shared = card.get("duplicates", {})
        counts = {
            "test images are also in training": shared.get("test_in_train"),
            "test images are also in validation": shared.get("test_in_val"),
            "validation images are also in training": shared.get("val_in_train"),
            "images have several labels": card.get("images_with_several_labels"),
            "files could not be read and are left out": card.get("unreadable_count"),
        }
        told = ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)
        notes += [f"Images of {row['dataset']} (pixel by pixel): {told}."] if told else []
    return notes


def _left_out(tables: Tables) -> list[str]:
    """Arms without a place in any figure: their snapshot is not the last one."""
    rows = tables.rows("""
        SELECT study, arm, source, epoch, list(DISTINCT target ORDER BY target) AS targets
        FROM arms
        SEMI JOIN settings
            ON (settings.study, settings.source, settings.target)
                = (arms.study, arms.source, arms.target) AND arms.epoch < settings.epoch
        ANTI JOIN comparison USING (study, source, epoch, target, recipe)
        ANTI JOIN over_pretraining USING (study, source, epoch, target, recipe)
        GROUP BY ALL ORDER BY study, min(position), source, epoch
    """)
    return [
        f"Not compared: {row['arm']} on {', '.join(row['targets'])}, after {epochs(row['epoch'])} "
        f"of {row['source']}, which is not the last snapshot of the study."
        for row in rows
    ]


def _not_shown(tables: Tables, figures: Sequence[Figure]) -> list[str]:
    """Exhibits that a study names and has no rows for."""
    shown = {(figure.study, figure.exhibit.id) for figure in figures}
    return [
        f"Not shown, {exhibit.id} of {study}, “{exhibit.title}”: {exhibit.absent}"
        for study, exhibit, named in asked_exhibits(tables)
        if named and (study, exhibit.id) not in shown
    ]
