"""What the page says: rows and sentences for the template, as plain text."""

from collections.abc import Sequence
from typing import Any

from fastpipe.reporting.charts import Figure
from fastpipe.reporting.claims.verdicts import Verdicts
from fastpipe.reporting.exhibits.registry import EXHIBITS
from fastpipe.reporting.numbers import count, epochs
from fastpipe.reporting.page.claims import claims_section
from fastpipe.reporting.page.final_numbers import COLUMNS, final_tables
from fastpipe.reporting.page.studies import arm_labels, study_sections, study_titles
from fastpipe.reporting.summary import summarise
from fastpipe.reporting.tables import Row, Tables
from fastpipe.reporting.theme import ARM_COLOURS

__all__ = ["page_content"]


def page_content(
    tables: Tables, figures: Sequence[Figure], verdicts: Sequence[Verdicts], arms: Sequence[Row]
) -> dict[str, Any]:
    """Everything the template shows, besides the charts' specs.

    Args:
        tables: the study.
        figures: figures with at least one panel.
        verdicts: judged claims.
        arms: arm, role, alpha, beta, in display order.
    """
    study = tables.rows("FROM studies ORDER BY position")[0]
    labels = [arm["arm"] for arm in arms]
    shown = [_figure(number, figure, labels) for number, figure in enumerate(figures, 1)]
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
        "scale_note": _scale_note(tables),
        "network_note": f"Scale: {_networks(tables)}.",
        "tables": final,
        "columns": [{"name": name, "unit": unit} for _, name, unit, _, _ in COLUMNS],
        "datasets": [_dataset(row) for row in tables.rows("FROM datasets ORDER BY rowid")],
        "notes": _notes(tables, {figure.exhibit.id for figure in figures}, bool(verdicts)),
        "contents": _contents(figures, bool(verdicts), bool(final)),
    }


def colour_of(arm: str, labels: Sequence[str]) -> int:
    """An arm's place in the palette, the same in all charts of a report."""
    return labels.index(arm) % ARM_COLOURS


def _contents(figures: Sequence[Figure], claims: bool, final: bool) -> list[dict[str, Any]]:
    entries = [("summary", "In short", False), ("arms", "What is compared", False)]
    entries += [("claims", "Claims", False)] if claims else []
    entries += [(figure.exhibit.id, figure.exhibit.short, False) for figure in figures]
    entries += [("final-table", "Final numbers", False)] if final else []
    entries += [("methods", "Data and methods", False)]
    return [{"id": id, "label": label, "inner": inner} for id, label, inner in entries]


def _figure(number: int, figure: Figure, labels: Sequence[str]) -> dict[str, Any]:
    exhibit = figure.exhibit
    present = set(figure.arms) if exhibit.legend else set()
    legend = [
        {"label": label, "index": index, "colour": colour_of(label, labels)}
        for index, label in enumerate(labels)
        if label in present
    ]
    return {
        "id": exhibit.id,
        "number": number,
        "title": exhibit.title,
        "lede": exhibit.lede,
        "paper": exhibit.paper,
        "here": exhibit.here,
        "of_runs": exhibit.legend,
        "legend": legend,
        "panels": [{"id": panel.id, "title": panel.title} for panel in figure.panels],
    }


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


def _scale_note(tables: Tables) -> str:
    """At which scale the numbers here were made, next to the paper's."""
    row = tables.rows("SELECT count(DISTINCT seed) AS seeds, max(steps) AS steps FROM comparison")[
        0
    ]
    seeds, steps = count(row["seeds"], "seed"), count(row["steps"] or 0, "step")
    return f"Scale: {_networks(tables)}, {seeds}, {steps}."


def _networks(tables: Tables) -> str:
    rows = tables.rows("SELECT DISTINCT backbone, dataset FROM snapshots ORDER BY ALL")
    return ", ".join(f"{row['backbone']} on {row['dataset']}" for row in rows) or "unknown network"


def _notes(tables: Tables, shown: set[str], judged: bool) -> list[str]:
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
    notes += [
        f"Not shown, “{exhibit.title}”: {exhibit.absent}"
        for exhibit in EXHIBITS
        if exhibit.id not in shown
    ]
    return notes
