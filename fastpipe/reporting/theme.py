"""How charts and page look: one set of colour names, in light, dark, and as CSS variables.

Arms have the hues of the Okabe–Ito palette (Okabe & Ito 2008, "Color universal design"), its
yellow and black replaced by an indigo and a grey, tuned so that any two also differ for the three
kinds of dichromat and all stand out from the background; the dark set is the same hues, lighter.
"""

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ARM_COLOURS", "DARK", "FONT", "LIGHT", "VARIABLES", "Colours", "chart_config", "css"]

FONT = 'Inter, "Helvetica Neue", "Liberation Sans", Arial, sans-serif'

ARM_COLOURS = 8


@dataclass(frozen=True)
class Colours:
    """Every colour there is, by what it is for."""

    paper: str
    """Background of the page and of chart files."""
    raised: str
    """Background of tooltips and buttons."""
    ink: str
    """Text."""
    muted: str
    """Captions, axis labels."""
    line: str
    """Grid and hairlines."""
    good: str
    """A supported claim."""
    bad: str
    """A contradicted claim."""
    accent: str
    """Links, and the cells of the class-flow picture."""
    arms: tuple[str, ...]


LIGHT = Colours(
    paper="#ffffff",
    raised="#ffffff",
    ink="#1b1d21",
    muted="#5d636d",
    line="#e3e5e9",
    good="#00704f",
    bad="#a8410a",
    accent="#0b5c94",
    arms=(
        "#c34a00",
        "#0072b2",
        "#1c98e4",
        "#009f74",
        "#cf74a8",
        "#565b64",
        "#c08800",
        "#4b3b9e",
    ),
)

DARK = Colours(
    paper="#14161a",
    raised="#1e2127",
    ink="#e9eaed",
    muted="#a0a6b1",
    line="#2c3038",
    good="#3fcf9f",
    bad="#ff9a5c",
    accent="#7cbcf0",
    arms=(
        "#ff8438",
        "#4aa5ee",
        "#a4dbff",
        "#1fbf91",
        "#ea9cc8",
        "#868c97",
        "#f5c04a",
        "#7a68ff",
    ),
)


def _names(colours: Colours) -> dict[str, str]:
    """CSS variable → colour."""
    flat = asdict(colours)
    arms = flat.pop("arms")
    return {f"--{name}": value for name, value in flat.items()} | {
        f"--arm-{i}": value for i, value in enumerate(arms)
    }


VARIABLES = Colours(
    **{name: f"var(--{name})" for name in asdict(LIGHT) if name != "arms"},
    arms=tuple(f"var(--arm-{i})" for i in range(ARM_COLOURS)),
)
"""For charts inside the page, whose stylesheet gives the variables their values."""


def css(colours: Colours) -> str:
    """Declarations of the CSS variables."""
    return "".join(f"{name}:{value};" for name, value in _names(colours).items())


def chart_config(colours: Colours) -> dict[str, Any]:
    """Vega-Lite's `config`: fonts, axes, and the arms' colours.

    Chart specs themselves name no colour, so a chart takes the theme that it is compiled with.
    """
    return {
        "background": colours.paper,
        "font": FONT,
        "padding": {"left": 4, "right": 12, "top": 6, "bottom": 4},
        "view": {"stroke": None},
        "axis": _axis(colours),
        "axisX": {"domain": True, "domainColor": colours.line},
        "axisY": _vertical_axis(colours),
        "legend": _legend(colours),
        "title": _title(colours),
        "range": {"category": list(colours.arms)},
        "style": _styles(colours),
    }


def _axis(colours: Colours) -> dict[str, Any]:
    return {
        "domain": False,
        "grid": False,
        "labelColor": colours.muted,
        "labelFontSize": 11,
        "labelPadding": 6,
        "tickColor": colours.line,
        "tickSize": 5,
        "titleColor": colours.muted,
        "titleFontSize": 11.5,
        "titleFontWeight": "normal",
        "titlePadding": 10,
    }


def _vertical_axis(colours: Colours) -> dict[str, Any]:
    """Its title lies flat above it, not turned beside it."""
    return {
        "grid": True,
        "gridColor": colours.line,
        "ticks": False,
        "titleAngle": 0,
        "titleAlign": "left",
        "titleAnchor": "end",
        "titleX": 0,
        "titleY": -14,
        "titleBaseline": "bottom",
    }


def _legend(colours: Colours) -> dict[str, Any]:
    return {
        "orient": "bottom",
        "direction": "horizontal",
        "columns": 3,
        "columnPadding": 18,
        "labelColor": colours.ink,
        "labelFontSize": 12,
        "labelLimit": 260,
        "symbolType": "stroke",
        "symbolStrokeWidth": 3,
        "symbolOpacity": 1,
        "offset": 16,
        "title": None,
    }


def _title(colours: Colours) -> dict[str, Any]:
    return {
        "color": colours.ink,
        "subtitleColor": colours.muted,
        "anchor": "start",
        "fontSize": 14,
        "fontWeight": 600,
        "subtitleFontSize": 12,
        "subtitlePadding": 4,
        "offset": 26,
    }


def _styles(colours: Colours) -> dict[str, Any]:
    """Looks by name, for marks that do not stand for an arm."""
    return {
        "guide": {"color": colours.muted, "strokeDash": [3, 3], "opacity": 0.9},
        "note": {"color": colours.muted, "fontSize": 11},
        "halo": {"color": colours.paper, "stroke": colours.paper, "strokeWidth": 5},
        "window": {"color": colours.muted, "opacity": 0.1},
        "series": {"color": colours.ink},
        "flow": {"color": colours.accent},
        "on-flow": {"color": colours.paper, "fontSize": 10.5},
        "off-flow": {"color": colours.ink, "fontSize": 10.5},
    }
