"""What is compared: the studies of a report and their arms."""

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any

from fastpipe.config.recipe import Recipe
from fastpipe.reporting.drawing.text import number
from fastpipe.reporting.tables import Row, Tables
from fastpipe.reporting.theme import ARM_COLOURS

__all__ = ["arm_colour", "arm_labels", "study_sections", "study_titles"]

_ABOUT = {
    "fast": "The head starts at almost nothing and learns quickly; the body moves at a rate of "
    "its own.",
    "baseline": "The usual way: a random head of ordinary size, and one rate for everything.",
    "warmup": "First the head alone, until validation accuracy stalls; then everything.",
    "feature-extraction": "The body stays as it is; only the head learns.",
    "scratch": "The same network without any pretraining.",
    "other": "",
}

_ARMS = """
    SELECT study, arm, any_value(role) AS role,
        CASE role
            WHEN 'fast' THEN bool_and(alpha <> beta AND head_init IN ('normal', 'zeros'))
            WHEN 'baseline' THEN bool_and(alpha = beta AND head_init NOT IN ('normal', 'zeros'))
            ELSE true END AS usual,
        list_sort(list(DISTINCT struct_pack(alpha := alpha, beta := beta, source := source)))
            AS rates,
        CASE WHEN count(DISTINCT (head_init, head_sigma)) = 1 THEN min(head_init) END AS head_init,
        min(head_sigma) AS head_sigma,
        CASE WHEN count(DISTINCT optimiser) = 1 THEN min(optimiser) END AS optimiser,
        len(list_distinct(flatten(list(list(DISTINCT optimiser)) OVER (PARTITION BY study))))
            AS optimisers
    FROM arms
    JOIN recipes USING (recipe)
    SEMI JOIN comparison USING (study, arm)
    GROUP BY study, arm, role
    ORDER BY study, min(position)
"""
"""`usual`: whether the recipes are what is said about their role. `optimisers`: how many there are
in the study."""

_TOLD = ("alpha", "beta", "head_init", "head_sigma", "optimiser")
"""Fields of a recipe that are told of every arm, in words of their own."""

_SWEPT = re.compile(rf"\+({'|'.join(Recipe.model_fields)})=")
"""Where a label goes on with a swept field, as :mod:`fastpipe.config.expansion` writes it."""

_OTHERS = [field for field in Recipe.model_fields if field not in _TOLD]


def study_titles(tables: Tables) -> dict[str, str]:
    """Study → title, the report's own first; studies without runs included."""
    rows = tables.rows("SELECT name, title FROM studies ORDER BY position")
    return {row["name"]: row["title"] for row in rows}


def arm_labels(tables: Tables) -> dict[str, list[str]]:
    """Study → labels of its arms that have runs to compare, in display order."""
    found: dict[str, list[str]] = {}
    for row in tables.rows(_ARMS):
        found.setdefault(row["study"], []).append(row["arm"])
    return found


def arm_colour(arm: str, labels: Sequence[str]) -> int | None:
    """An arm's place in the palette, the same in all charts of its study.

    None where a study has more arms than there are colours: figures then colour only their own.
    """
    return labels.index(arm) if arm in labels and len(labels) <= ARM_COLOURS else None


def study_sections(tables: Tables) -> list[dict[str, Any]]:
    """For each study that has arms: title, description, scale, arms.

    The report's own texts head the page, so they are left out here.
    """
    labels = arm_labels(tables)
    differences = _differences(tables)
    arms = [row | {"own": differences[row["study"], row["arm"]]} for row in tables.rows(_ARMS)]
    sections: list[dict[str, Any]] = []
    told: set[str] = set()  # what a role is about stands once on the page
    for row in tables.rows("FROM studies ORDER BY position"):
        if row["name"] in labels:
            texts = {name: row[name] or "" for name in ("title", "description", "scale")}
            own = [
                _entry(list(sweep), labels[row["name"]], told)
                for _, sweep in itertools.groupby(
                    (arm for arm in arms if arm["study"] == row["name"]),
                    key=lambda arm: _name(arm["arm"], labels[row["name"]]),
                )
            ]
            repeated = row["position"] == 0
            sections.append(
                {"name": row["name"], "arms": own, "anchor": f"study-{row['position']}"}
                | (dict.fromkeys(texts, "") if repeated else texts)
            )
    return sections


def _differences(tables: Tables) -> dict[tuple[str, str], list[str]]:
    """(study, arm) → its values of the fields in which the study's arms differ.

    A field that the label has as well (`grid+momentum=0.9`) is left out.
    """
    rows = tables.rows(f"""
        SELECT study, arm, {", ".join(_OTHERS)}
        FROM arms JOIN recipes USING (recipe) SEMI JOIN comparison USING (study, arm)
        ORDER BY ALL
    """)
    found: dict[tuple[str, str], list[str]] = {}
    for study in dict.fromkeys(row["study"] for row in rows):
        by_arm: dict[str, list[Row]] = {}
        for row in rows:
            if row["study"] == study:
                by_arm.setdefault(row["arm"], []).append(row)
        for field in _OTHERS:
            values = {arm: _values(own, field) for arm, own in by_arm.items()}
            differ = len(set(values.values())) > 1
            for arm, text in values.items():
                told = [f"{field.replace('_', ' ')}\u00a0{text}"] if differ else []
                found.setdefault((study, arm), []).extend([] if f"+{field}=" in arm else told)
    return found


def _values(rows: Sequence[Row], field: str) -> str:
    return " or ".join(dict.fromkeys(_shown(row[field]) for row in rows))


def _shown(value: Any) -> str:
    if value is None:
        return "by default"
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return number(value) if isinstance(value, float) else str(value).lower()


def _name(label: str, labels: Sequence[str]) -> str:
    """What arms are told under: their own label or, where there are too many for colours, that of
    the sweep they come from (`grid` of `grid+momentum=0.9`)."""
    return label if len(labels) <= ARM_COLOURS else _SWEPT.split(label)[0]


def _entry(arms: Sequence[Row], labels: Sequence[str], told: set[str]) -> dict[str, Any]:
    """An arm, or the arms of a sweep: label, description, colour."""
    first = arms[0]
    about = _ABOUT[first["role"]] if all(arm["usual"] for arm in arms) else ""
    about = "" if first["role"] in told else about
    told |= {first["role"]} if about else set()
    label = first["arm"]
    each = [_facts(arm) for arm in arms]
    facts = ", ".join(fact for fact in each[0] if all(fact in other for other in each))
    if len(arms) > 1:
        label = _name(label, labels)
        swept = f"{len(arms)} settings: {'; '.join(_swept(arms))}"
        facts = f"{swept}; all with {facts}" if facts else swept
    about = f"{about} {facts}.".lstrip() if facts else about
    return {"label": label, "about": about, "colour": arm_colour(first["arm"], labels)}


def _swept(arms: Iterable[Row]) -> list[str]:
    """The values of each field that labels name: `momentum 0, 0.9`."""
    parts = [_SWEPT.split(arm["arm"])[1:] for arm in arms]
    settings = [dict(zip(row[::2], row[1::2], strict=True)) for row in parts]
    values = {
        field: list(dict.fromkeys(setting[field] for setting in settings if field in setting))
        for field in dict.fromkeys(field for setting in settings for field in setting)
    }
    if all(s.get("alpha") == s.get("beta") for s in settings) and "alpha" in values:
        del values["beta"]
        values = {"α\u00a0=\u00a0β": values.pop("alpha")} | values
    words = {"alpha": "α", "beta": "β"}
    return [
        f"{words.get(field, field.replace('_', ' '))}\u00a0{', '.join(each)}"
        for field, each in values.items()
    ]


def _facts(arm: Row) -> list[str]:
    """Rates, the head's start and the optimiser, where all runs of the arm share them; then the
    fields in which the study's arms differ."""
    pairs = {(rate["alpha"], rate["beta"]) for rate in arm["rates"]}
    facts = [
        f"α\u00a0=\u00a0{rate['alpha']:g}, β\u00a0=\u00a0{rate['beta']:g}"
        + ("" if len(pairs) == 1 else f" from {rate['source']}")
        for rate in (arm["rates"][:1] if len(pairs) == 1 else arm["rates"])
    ]
    if arm["head_init"] == "normal":
        facts.append(f"W(0)\u00a0∼\u00a0N(0,\u00a0{arm['head_sigma']:g})")
    elif arm["head_init"]:
        facts.append(f"{arm['head_init']} head")
    if arm["optimiser"] and (arm["optimiser"] != "sgd" or arm["optimisers"] > 1):
        facts.append(arm["optimiser"])
    return facts + arm["own"]
