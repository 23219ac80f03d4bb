"""One self-contained HTML page: no network, no `eval`, every name shown literally.

Whatever comes from the configuration or the data reaches the page in one of two ways: through
Jinja2 with autoescaping on, or as JSON inside a `<script type="application/json">` with `<`, `>`
and `&` written as `\\u003c` and so on, so that no name can end the element. The page's policy
(Content-Security-Policy) lists the hashes of the page's own scripts and stylesheet and allows
nothing else: no origin, no inline handler, no `eval`; Vega's expressions are interpreted.
"""

import base64
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from fastpipe.reporting.charts import Figure
from fastpipe.reporting.theme import ARM_COLOURS, DARK, FONT, LIGHT, VARIABLES, chart_config, css

__all__ = ["render_page"]

_TEMPLATE = Path(__file__).with_name("page.html")
_STYLE = Path(__file__).with_name("page.css")
_THEME = Path(__file__).with_name("theme.js")
_SCRIPT = Path(__file__).with_name("page.js")


def render_page(
    context: Mapping[str, Any],
    figures: Sequence[Figure],
) -> str:
    """The page's HTML.

    Args:
        context: what the template shows besides the charts (:mod:`..page.content`).
        figures: figures with at least one panel.
    """
    parts = {
        "css": _style(),
        "theme_js": _THEME.read_text(encoding="utf-8"),
        "vega_js": _vega(),
        "page_js": _SCRIPT.read_text(encoding="utf-8"),
    }
    data = {
        "charts": {id: spec for figure in figures for id, spec in figure.charts.items()},
        "tables": {id: table.values for figure in figures for id, table in figure.tables.items()},
        "legends": {
            figure.id: {"field": figure.exhibit.colour, "names": figure.domain}
            for figure in figures
        },
        "config": chart_config(VARIABLES),
        "fileConfig": chart_config(LIGHT),
    }
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FileSystemLoader(_TEMPLATE.parent),
    )  # fmt: skip
    return environment.get_template(_TEMPLATE.name).render(
        context,
        **{name: _own(name, text) for name, text in parts.items()},
        policy=_policy(scripts=[parts[n] for n in parts if n != "css"], style=parts["css"]),
        data=_json(data),
    )


def _own(name: str, text: str) -> Markup:
    """Code of ours or Vega's, put in as it is; it must not end its own element."""
    if "</script" in text.lower() or "</style" in text.lower() or "<!--" in text:
        raise ValueError(f"{name} would end the element that holds it")
    return Markup(text)


def _json(value: Any) -> Markup:
    """JSON that no HTML parser can leave."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _policy(scripts: Sequence[str], style: str) -> str:
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {_hash(style)}",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _style() -> str:
    """The stylesheet after its variables: light, dark by the system, dark and light by choice."""
    dark = css(DARK)
    return "".join(
        [
            f':root{{--font:{FONT};}}',
            f":root{{color-scheme:light;{css(LIGHT)}}}",
            f"@media screen and (prefers-color-scheme:dark){{:root{{color-scheme:dark;{dark}}}}}",
            f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}"
            f":root[data-theme=light]{{color-scheme:light;{css(LIGHT)}}}}}",
            *(f".arm-{place}{{--arm:var(--arm-{place});}}" for place in range(ARM_COLOURS)),
            "\n",
            _STYLE.read_text(encoding="utf-8"),
        ]
    )  # fmt: skip


@functools.cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script (bundled by vl-convert, about 0.9 MB)."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
