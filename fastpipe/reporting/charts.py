"""From exhibits to charts: specs, and files that stand alone."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vl_convert

from fastpipe.reporting.exhibits.exhibit import Exhibit
from fastpipe.reporting.tables import Row, Tables
from fastpipe.reporting.theme import LIGHT, chart_config

__all__ = ["Figure", "Panel", "draw_figures", "write_chart"]

WIDTH = 560
PNG_SCALE = 1.5


@dataclass(frozen=True)
class Panel:
    """One chart of a figure."""

    id: str
    """File name without suffix: of safe characters, whatever names the configuration has."""
    title: str
    spec: dict[str, Any]
    """Vega-Lite, data included; without `config`, size of the plot `WIDTH` wide."""
    arms: list[str]
    """Arms that appear in it."""


@dataclass(frozen=True)
class Figure:
    """An exhibit with its charts; without any, it is not shown."""

    exhibit: Exhibit
    panels: list[Panel]

    @property
    def arms(self) -> list[str]:
        """Arms that appear in any panel, in their order of appearance."""
        return list(dict.fromkeys(arm for panel in self.panels for arm in panel.arms))


def draw_figures(tables: Tables, exhibits: Sequence[Exhibit], arms: Sequence[str]) -> list[Figure]:
    """Draw all exhibits; one that has no rows has no panels."""
    return [_figure(tables, exhibit, arms) for exhibit in exhibits]


def _figure(tables: Tables, exhibit: Exhibit, arms: Sequence[str]) -> Figure:
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in tables.rows(exhibit.query):
        groups[tuple(row[name] for name in exhibit.panel)].append(row)
    sources = {row.get("setting_source") for rows in groups.values() for row in rows[:1]}
    panels = []
    for key, rows in groups.items():
        title = exhibit.panel_title(rows[0])
        if len(sources) > 1 and "target" in exhibit.panel:
            title = f"{title} (from {rows[0]['setting_source']})"
        spec = exhibit.draw(rows, arms).to_dict(validate=False)
        spec["description"] = f"{exhibit.title} {title}"
        spec["title"] = {"text": exhibit.title, "subtitle": title}
        spec["width"] = WIDTH
        spec.pop("config", None)  # Altair's default look
        present = [row["arm"] for row in rows if "arm" in row]
        name_parts = [part for column, part in zip(exhibit.panel, key, strict=True)
                      if column != "setting_source" or len(sources) > 1]  # fmt: skip
        panels.append(Panel(_slug(exhibit.id, name_parts), title, spec, present))
    return Figure(exhibit, panels)


def _slug(id: str, parts: Sequence[Any]) -> str:
    """A file name that tells the panel; a hash is added where that took changing characters."""
    name = "-".join([id, *map(str, parts)])
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100]
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def write_chart(panel: Panel, folder: Path, formats: Sequence[str], arm_colours: list[int]) -> None:
    """Write `<id>.json` (Vega-Lite with its data), `.svg` and `.png`, as asked for."""
    spec = panel.spec | {"config": chart_config(LIGHT, arm_colours)}
    path = folder / panel.id
    if "json" in formats:
        text = json.dumps(spec, ensure_ascii=False, indent=1, allow_nan=False)
        _with_suffix(path, "json").write_text(text + "\n", encoding="utf-8")
    if "svg" in formats or "png" in formats:
        svg = _renumbered(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))
        if "svg" in formats:
            _with_suffix(path, "svg").write_text(svg, encoding="utf-8")
        if "png" in formats:
            _with_suffix(path, "png").write_bytes(vl_convert.svg_to_png(svg, scale=PNG_SCALE))


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
