"""From exhibits to figures: specs, tables, and files that stand alone."""

import csv
import hashlib
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vl_convert

from fastpipe.errors import UserError
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.registry import EXHIBITS
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.tables import Row, Tables
from fastpipe.reporting.theme import ARM_COLOURS, LIGHT, chart_config

__all__ = [
    "Figure",
    "Panel",
    "asked_exhibits",
    "chart_spec",
    "draw_figures",
    "study_arms",
    "table_csv",
    "write_chart",
]

WIDTH = 560
PNG_SCALE = 1.5


@dataclass(frozen=True)
class Panel:
    """One chart or table of a figure."""

    id: str
    """File name without suffix: of safe characters, whatever names the configuration has."""
    title: str
    drawing: dict[str, Any] | Table
    """Vega-Lite, data included, without `config`, plots `WIDTH` wide; or a table."""


@dataclass(frozen=True)
class Figure:
    """An exhibit drawn from the arms of one study; without any panel, it is not shown."""

    id: str
    """Its anchor in the page: the exhibit's id; with the study's name if several draw it."""
    exhibit: Exhibit
    study: str
    panels: list[Panel]
    domain: list[str]
    """What colours stand for, by place in the palette: the arms of the study, or those of the
    figure if the study has more than the palette, under the names that the legend gives them; or
    the values of the exhibit's `colour`."""
    arms: list[str]
    """Those of them that appear in a panel."""
    sources: list[str]
    """Whose snapshots its runs start from; none if it is no measurement."""
    seeds: int | None
    """How many it is drawn from; none if it is not about runs."""

    @property
    def charts(self) -> dict[str, dict[str, Any]]:
        """Specs by panel."""
        return {one.id: one.drawing for one in self.panels if not isinstance(one.drawing, Table)}

    @property
    def tables(self) -> dict[str, Table]:
        """Tables by panel."""
        return {one.id: one.drawing for one in self.panels if isinstance(one.drawing, Table)}


def study_arms(tables: Tables) -> dict[str, list[str]]:
    """Study → its arms that have runs to compare, in display order."""
    found: dict[str, list[str]] = {}
    for row in tables.rows("""
        SELECT study, arm FROM arms
        SEMI JOIN comparison USING (study, arm)
        GROUP BY ALL ORDER BY study, min(position)
    """):
        found.setdefault(row["study"], []).append(row["arm"])
    return found


def asked_exhibits(
    tables: Tables, exhibits: Mapping[str, Exhibit] = EXHIBITS
) -> list[tuple[str, Exhibit, bool]]:
    """(study, exhibit, whether the study names it), in the order of the report.

    A study that names none and has arms of its own draws all general ones.

    Raises UserError naming exhibits that do not exist, and those that do.
    """
    owners = {row["study"] for row in tables.rows("SELECT DISTINCT study FROM arms")}
    general = [exhibit for exhibit in exhibits.values() if not exhibit.of_paper]
    found: list[tuple[str, Exhibit, bool]] = []
    for row in tables.rows("FROM studies ORDER BY position"):
        named = row["exhibits"] or []
        if unknown := [id for id in named if id not in EXHIBITS]:
            raise UserError(
                f"unknown exhibit {', '.join(unknown)} in the study's `exhibits`. "
                f"Known exhibits: {', '.join(EXHIBITS)}."
            )
        chosen = [exhibits[id] for id in named if id in exhibits]
        if not named and row["name"] in owners:
            chosen = general
        found += [(row["name"], exhibit, bool(named)) for exhibit in chosen]
    return found


def draw_figures(tables: Tables, exhibits: Mapping[str, Exhibit] = EXHIBITS) -> list[Figure]:
    """Draw the exhibits that each study asks for; one that has no rows has no panels."""
    asked = asked_exhibits(tables, exhibits)
    rows = {
        exhibit.id: _by_study(tables.rows(exhibit.query))
        for exhibit in {exhibit.id: exhibit for _, exhibit, _ in asked}.values()
    }
    arms = study_arms(tables)
    shown = Counter(exhibit.id for study, exhibit, _ in asked if study in rows[exhibit.id])
    figures = []
    for study, exhibit, _ in asked:
        id = _slug([exhibit.id, study] if shown[exhibit.id] > 1 else [exhibit.id])
        own = rows[exhibit.id].get(study, [])
        figures.append(_figure(id, exhibit, study, own, arms.get(study, [])))
    return figures


def _by_study(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["study"]].append(row)
    return found


def _figure(
    id: str, exhibit: Exhibit, study: str, rows: Sequence[Row], arms: Sequence[str]
) -> Figure:
    if exhibit.colour != "arm":
        return _coloured_figure(id, exhibit, study, rows)
    present = {row["arm"] for row in rows if "arm" in row}
    names = _names(rows, exhibit.label) if present else {}
    if len(arms) > ARM_COLOURS:
        arms = [arm for arm in arms if arm in present]
    domain = [names.get(arm, arm) for arm in arms]
    if len(set(domain)) < len(domain):  # a name made from rates is another arm's own
        names, domain = {}, list(arms)
    named = [row | {"arm": names.get(row["arm"], row["arm"])} if "arm" in row else row
             for row in rows]  # fmt: skip
    return Figure(
        id=id,
        exhibit=exhibit,
        study=study,
        panels=list(_panels(id, exhibit, named, domain)),
        domain=domain,
        arms=[names.get(arm, arm) for arm in arms if arm in present],
        sources=_sources(rows),
        seeds=_seeds(rows),
    )


def _coloured_figure(id: str, exhibit: Exhibit, study: str, rows: Sequence[Row]) -> Figure:
    """A figure whose colours stand for something else than arms."""
    names = {row[exhibit.colour]: row["colour_place"] for row in rows}
    domain = sorted(names, key=names.__getitem__)
    return Figure(
        id=id,
        exhibit=exhibit,
        study=study,
        panels=list(_panels(id, exhibit, rows, domain)),
        domain=domain,
        arms=domain,
        sources=_sources(rows),
        seeds=_seeds(rows),
    )


def _sources(rows: Sequence[Row]) -> list[str]:
    return sorted({row["setting_source"] for row in rows if "setting_source" in row})


def _seeds(rows: Sequence[Row]) -> int | None:
    """Rows are of one run each, or means over seeds."""
    if any("seed" in row for row in rows):
        return len({row["seed"] for row in rows})
    return max((row["seeds"] for row in rows if "seeds" in row), default=None)


def _names(rows: Sequence[Row], label: Callable[[Row], str]) -> dict[str, str]:
    """Arm → what the legend calls it; nothing unless that tells all arms apart."""
    pairs = {(row["arm"], label(row)) for row in rows}
    arms, names = {arm for arm, _ in pairs}, {name for _, name in pairs}
    return dict(pairs) if len(pairs) == len(arms) == len(names) else {}


def _panels(
    id: str, exhibit: Exhibit, rows: Sequence[Row], domain: Sequence[str]
) -> Iterator[Panel]:
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in exhibit.panel)].append(row)
    sources = {row.get("setting_source") for rows in groups.values() for row in rows[:1]}
    used: set[str] = set()
    for key, own in groups.items():
        title = exhibit.panel_title(own[0])
        if len(sources) > 1 and "target" in exhibit.panel and own[0]["setting_source"] not in title:
            title = f"{title} (from {own[0]['setting_source']})"
        parts = [part for column, part in zip(exhibit.panel, key, strict=True)
                 if column != "setting_source" or len(sources) > 1]  # fmt: skip
        name = _slug([id, *parts])
        name = name if name not in used else _slug([id, *parts], always=True)
        used.add(name)
        drawing = exhibit.draw(own, domain)
        if not isinstance(drawing, Table):
            drawing = chart_spec(drawing.to_dict(validate=False), exhibit.title, title)
        yield Panel(name, title, drawing)


def chart_spec(spec: dict[str, Any], heading: str, title: str) -> dict[str, Any]:
    """A chart's spec as panels hold it: with titles, without a look of its own."""
    spec["description"] = f"{heading} {title}"
    spec["title"] = {"text": heading, "subtitle": title}
    spec.pop("config", None)  # Altair's default look
    for view in spec.get("vconcat", [spec]):
        view["width"] = WIDTH
    return spec


def _slug(parts: Sequence[Any], *, always: bool = False) -> str:
    """A file name that tells the panel; a hash is added where that took changing characters."""
    name = "-".join(map(str, parts))
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100]
    if safe == name and not always:
        return safe
    return f"{safe}-{hashlib.sha256(repr(list(map(str, parts))).encode()).hexdigest()[:8]}"


def write_chart(panel: Panel, folder: Path, formats: Sequence[str]) -> None:
    """Write `<id>.json` (Vega-Lite with its data), `.svg` and `.png`, as asked for.

    A table is written as `<id>.csv`, whatever the formats.
    """
    path = folder / panel.id
    if isinstance(panel.drawing, Table):
        _with_suffix(path, "csv").write_text(table_csv(panel.drawing), encoding="utf-8", newline="")
        return
    spec = panel.drawing | {"config": chart_config(LIGHT)}
    if "json" in formats:
        text = json.dumps(spec, ensure_ascii=False, indent=1, allow_nan=False)
        _with_suffix(path, "json").write_text(text + "\n", encoding="utf-8")
    if "svg" in formats or "png" in formats:
        svg = _renumbered(vl_convert.vegalite_to_svg(_drawable(spec), allowed_base_urls=[]))
        if "svg" in formats:
            _with_suffix(path, "svg").write_text(svg, encoding="utf-8")
        if "png" in formats:
            _with_suffix(path, "png").write_bytes(vl_convert.svg_to_png(svg, scale=PNG_SCALE))


_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _drawable(value: Any) -> Any:
    """A spec whose texts an SVG can hold; a control character would abort the whole process."""
    if isinstance(value, str):
        return _NOT_XML.sub(lambda found: ascii(found[0])[1:-1], value)
    if isinstance(value, list | tuple):
        return [_drawable(item) for item in value]
    if isinstance(value, dict):
        return {_drawable(key): _drawable(item) for key, item in value.items()}
    return value


def table_csv(table: Table) -> str:
    """A table's numbers as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table.values[0]) if table.values else [])
    writer.writeheader()
    writer.writerows(table.values)
    return text.getvalue()


def _renumbered(svg: str) -> str:
    """The SVG with its clip paths numbered from 1; Vega counts on from chart to chart."""
    own = re.findall(r'<clipPath id="clip(\d+)"', svg)
    number = {old: str(new) for new, old in enumerate(dict.fromkeys(own), 1)}
    return re.sub(
        r'(<clipPath id="clip|clip-path="url\(#clip)(\d+)',
        lambda match: match[1] + number.get(match[2], match[2]),
        svg,
    )


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}.{suffix}")
