"""What the page says: rows and sentences for the template, as plain text."""

from collections.abc import Sequence
from typing import Any

from fastpipe.reporting.charts import Figure, Panel, asked_exhibits
from fastpipe.reporting.claims.verdicts import Setting, Verdicts
from fastpipe.reporting.drawing.arms import DASHES
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.numbers import difference, epochs, plus_minus
from fastpipe.reporting.statistics import Judgement, Paired
from fastpipe.reporting.summary import summarise
from fastpipe.reporting.tables import Row, Tables
from fastpipe.reporting.theme import ARM_COLOURS

__all__ = ["page_content"]

_ABOUT = {
    "fast": "The head starts at almost nothing and learns quickly; the body moves at a rate of "
    "its own.",
    "baseline": "The usual way: a random head of ordinary size, and one rate for everything.",
    "warmup": "First the head alone, until validation accuracy stalls; then everything.",
    "feature-extraction": "The body stays as it is; only the head learns.",
    "scratch": "The same network without any pretraining.",
    "other": "",
}

_COLUMNS: tuple[tuple[str, str, str, str, int], ...] = (
    # column of the view, heading, unit, form, which way is better
    ("top1", "top-1", "%", "percent", 1),
    ("top5", "top-5", "%", "percent", 1),
    ("adp_auc", "ADP-AUC", "0 to 1", "scores", 1),
    ("forgotten", "forgotten", "points", "percent", -1),
    ("distance", "distance", "‖θ* − θ‖", "distance", -1),
    ("seconds", "time", "seconds", "seconds", 0),
)


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
    shown = [
        _figure(number, figure, _scale_note(tables, figure))
        for number, figure in enumerate(figures, 1)
    ]
    claims = [_claim(one, shown) for one in verdicts]
    final = _final_tables(tables, labels)
    return {
        "study": study["name"],
        "title": study["title"],
        "description": study["description"],
        "scale": study["scale"],
        "summary": summarise(tables, verdicts),
        "arms": [_arm(arm, labels) for arm in arms],
        "claims": claims,
        "figures": shown,
        "tables": final,
        "columns": [{"name": name, "unit": unit} for _, name, unit, _, _ in _COLUMNS],
        "datasets": [_dataset(row) for row in tables.rows("FROM datasets ORDER BY rowid")],
        "notes": _notes(tables, figures, bool(verdicts)),
        "contents": _contents(figures, bool(claims), bool(final)),
    }


def colour_of(arm: str, labels: Sequence[str]) -> int:
    """An arm's place in the palette, the same in all charts of a report."""
    return labels.index(arm) % ARM_COLOURS


def _contents(figures: Sequence[Figure], claims: bool, final: bool) -> list[dict[str, Any]]:
    entries = [("summary", "In short", False), ("arms", "What is compared", False)]
    entries += [("claims", "Claims", False)] if claims else []
    entries += [(figure.id, figure.exhibit.short, False) for figure in figures]
    entries += [("final-table", "Final numbers", False)] if final else []
    entries += [("methods", "Data and methods", False)]
    return [{"id": id, "label": label, "inner": inner} for id, label, inner in entries]


def _arm(arm: Row, labels: Sequence[str]) -> dict[str, Any]:
    rates = [
        f"{sign}\u00a0=\u00a0{arm[name]:g}"
        for sign, name in (("α", "alpha"), ("β", "beta"))
        if arm[name] is not None
    ]
    about = _ABOUT[arm["role"]]
    if rates:
        about = f"{about} {', '.join(rates)}.".lstrip()
    return {"label": arm["arm"], "about": about, "colour": colour_of(arm["arm"], labels)}


def _figure(number: int, figure: Figure, scale_note: str) -> dict[str, Any]:
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
        "table": table and {"columns": table.columns, "rows": table.rows},
        "downloads": ["csv"] if table else ["svg", "png", "csv"],
    }


def _scale_note(tables: Tables, figure: Figure) -> str:
    """At which scale the numbers of a figure were made, next to the paper's."""
    networks = tables.rows(
        "SELECT DISTINCT backbone, dataset FROM snapshots WHERE source IN (SELECT unnest(?)) "
        "ORDER BY ALL",
        [figure.sources],
    )
    parts = [f"{row['backbone']} on {row['dataset']}" for row in networks] or ["unknown network"]
    if figure.seeds is not None:
        (row,) = tables.rows(
            "SELECT max(steps) AS steps FROM comparison WHERE study = ?", [figure.study]
        )
        parts.append(f"{figure.seeds} seed{'' if figure.seeds == 1 else 's'}")
        parts.append(f"up to {row['steps'] or 0:,} steps")
    written = tables.rows("SELECT scale FROM studies WHERE name = ?", [figure.study])
    scale = next((row["scale"] for row in written if row["scale"]), "")
    return (
        f"Scale: {scale.rstrip('.')} ({', '.join(parts)})."
        if scale
        else (f"Scale: {', '.join(parts)}.")
    )


# --- claims ---------------------------------------------------------------------------------------

_UNITS = {"points": "points", "area": "", "distance": ""}


def _claim(one: Verdicts, figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    figure = next((shown for shown in figures if shown["exhibit"] == one.claim.exhibit), None)
    return {
        "id": one.claim.id,
        "title": one.claim.title,
        "source": one.claim.source,
        "statistic": one.claim.statistic,
        "unit": _UNITS[one.claim.unit],
        "verdict": one.verdict,
        "kind": one.verdict.replace(" ", "-"),
        "exhibit": figure["id"] if figure else "final-table",
        "see": f"{figure['kind'].lower()} {figure['number']}"
        if figure
        else "the table of final numbers",
        "rows": _claim_rows(one),
    }


def _claim_rows(one: Verdicts) -> list[dict[str, Any]]:
    place = _Forest([paired for named in one.contrasts.values() for paired in named.values()])
    several = len({(setting.source, setting.epoch) for setting in one.settings}) > 1
    return [
        {
            "target": _where(setting, several),
            "verdict": judgement.verdict,
            "kind": judgement.verdict.replace(" ", "-"),
            "p": _p(judgement),
            "contrasts": [
                _contrast(name, paired, one.claim.unit, place)
                for name, paired in one.contrasts[setting].items()
            ],
        }
        for setting, judgement in one.settings.items()
    ]


def _where(setting: Setting, several: bool) -> str:
    return f"{setting.target} from {setting.source}" if several else setting.target


def _p(judgement: Judgement) -> str:
    if judgement.p_holm is None:
        return "–"
    return "< 0.001" if judgement.p_holm < 0.001 else f"{judgement.p_holm:.3f}"


def _contrast(name: str, paired: Paired, unit: str, place: "_Forest") -> dict[str, Any]:
    return {
        "contrast": name,
        "mean": difference(paired.mean, unit),
        "interval": _interval(paired.low, paired.high, unit),
        "bootstrap": _interval(paired.bootstrap_low, paired.bootstrap_high, unit),
        "effect": "–" if paired.effect_size is None else difference(paired.effect_size, "distance"),
        "pairs": paired.pairs,
        "forest": place(paired),
    }


def _interval(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return ""
    return f"{difference(low, unit)} to {difference(high, unit)}"


class _Forest:
    """Positions, in a strip 140 wide, of the intervals of one claim on their common scale."""

    def __init__(self, contrasts: Sequence[Paired]):
        ends = [0.0, *(x for one in contrasts for x in (one.low, one.high) if x is not None)]
        self._low, self._high = min(ends), max(ends)

    def __call__(self, paired: Paired) -> dict[str, float] | None:
        if paired.mean is None or paired.low is None or paired.high is None:
            return None
        values = {"zero": 0.0, "low": paired.low, "mean": paired.mean, "high": paired.high}
        return {name: self._position(value) for name, value in values.items()}

    def _position(self, value: float) -> float:
        span = (self._high - self._low) or 1.0
        return round(5 + 130 * (value - self._low) / span, 1)


# --- final numbers --------------------------------------------------------------------------------


def _final_tables(tables: Tables, labels: Sequence[str]) -> list[dict[str, Any]]:
    rows = tables.rows("FROM final_table ORDER BY setting_source, target, position")
    sources = {row["setting_source"] for row in rows}
    found: list[dict[str, Any]] = []
    for key in dict.fromkeys((row["setting_source"], row["target"]) for row in rows):
        own = [row for row in rows if (row["setting_source"], row["target"]) == key]
        title = f"{key[1]} from {key[0]}" if len(sources) > 1 else key[1]
        found.append({"title": title, "rows": [_final_row(row, own, labels) for row in own]})
    return found


def _final_row(row: Row, rows: Sequence[Row], labels: Sequence[str]) -> dict[str, Any]:
    return {
        "label": row["arm"],
        "colour": colour_of(row["arm"], labels),
        "runs": row["runs"],
        "diverged": row["diverged"],
        "cells": [_cell(row, rows, *column) for column in _COLUMNS],
    }


def _cell(
    row: Row, rows: Sequence[Row], column: str, name: str, unit: str, form: str, better: int
) -> dict[str, Any]:
    mean, _, spread = plus_minus(row[column], row[f"{column}_half_width"], form).partition(" ")
    values = [better * other[column] for other in rows if other[column] is not None]
    best = better != 0 and row[column] is not None and better * row[column] == max(values)
    return {"mean": mean, "spread": spread, "best": best}


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
            "p-values are two-sided, corrected by Holm's method over all claims and targets of "
            "this study. A claim on a target takes the largest p of its comparisons if all lie on "
            "the paper's side; effect size is the mean difference over its standard deviation."
        )
    if used:
        notes.append(f"Fine-tuned on {used}.")
    return notes + _left_out(tables) + _not_shown(tables, figures)


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
