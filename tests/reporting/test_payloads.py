"""Row 30: payloads in every text of a study are shown literally; nothing is run or asked for."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fastpipe.reporting.charts import draw_figures, write_chart
from fastpipe.reporting.chromium import Chromium, find_chromium
from fastpipe.reporting.claims.files import write_claims
from fastpipe.reporting.claims.verdicts import chosen_claims, judge_claims
from fastpipe.reporting.page.content import page_content
from fastpipe.reporting.page.render import render_page

RUN = "document.documentElement.dataset.fired=1"
ASK = "http://127.0.0.1:9"

PAYLOADS = [
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"</SCRIPT ><ScRiPt\n>{RUN}</sCrIpT>",
    f"<!--<script>{RUN}",
    f"]]><script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f'"><svg onload={RUN}>',
    f"' autofocus onfocus='{RUN}' x='",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
    f"<a href=\"javascript:{RUN}\">x</a>",
    f"javascript:{RUN}",
    f"</style><style>@import '{ASK}/a.css';*{{background:url({ASK}/b)}}</style>",
    f"<link rel=stylesheet href={ASK}/c><base href={ASK}/>",
    f'<meta http-equiv=refresh content="0;url={ASK}/d">',
    f"<object data={ASK}/e></object><embed src={ASK}/f><video src={ASK}/g autoplay>",
    f"<form action={ASK}/h><button formaction={ASK}/i autofocus onfocus={RUN}>x</button></form>",
    "{{7*7}}{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}${7*7}`#{7*7}",
    f"'+datum.constructor.constructor('{RUN}')()+'",
    f"&lt;img src=x onerror={RUN}&gt;&#60;script&#62;\\u003cscript\\u003e{RUN}\\x3c/script\\x3e",
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUN}>",
    f"\u2028\u2029\u202e\ufeff\x1b]0;x\x07<svg><script href={ASK}/j></script></svg>",
    f"<template><script>{RUN}</script></template><noscript><p title='</noscript><img src=x onerror="
    f"{RUN}>'>",
]  # fmt: skip

NAMED = {
    "study": [("studies", "name"), ("arms", "study"), ("findings", "study")],
    "title": [("studies", "title")],
    "description": [("studies", "description")],
    "scale": [("studies", "scale")],
    "finding": [("findings", "text")],
    "arm": [("arms", "arm")],
    "dataset": [("datasets", "dataset"), ("snapshots", "dataset")],
    "class": [("flow", "source_class"), ("flow", "target_class")],
    "layer": [("layers", "layer")],
    "device": [("runs", "device"), ("snapshots", "device")],
    "precision": [("runs", "precision"), ("snapshots", "precision")],
    "backbone": [("snapshots", "backbone")],
}
"""Texts that reach the page, by what they are; those of all tables are added in `fields`."""

FIELDS = [*NAMED, "source", "target", "recipe"]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def poisoned(tables, payloads: dict[str, str]) -> list[str]:
    """Statements that put a payload behind every text of each field."""
    everywhere = tables.rows(
        "SELECT table_name, column_name FROM information_schema.columns "
        "JOIN duckdb_tables() USING (table_name) WHERE data_type = 'VARCHAR'"
    )
    statements = []
    for field, payload in payloads.items():
        found = NAMED.get(field) or [
            (row["table_name"], field) for row in everywhere if row["column_name"] == field
        ]
        assert found, field
        # datasets are also the runs' targets, by the same name
        also = [("datasets", "dataset")] if field == "target" else []
        for table, column in [*found, *also]:
            statements.append(f'UPDATE "{table}" SET "{column}" = "{column}" || {quoted(payload)}')
    return statements


def rotated(turn: int, each: int) -> dict[str, str]:
    """So many payloads for each field; over as many turns as there are payloads, each in each."""
    return {
        field: " ".join(PAYLOADS[(turn + i + 11 * k) % len(PAYLOADS)] for k in range(each))
        for i, field in enumerate(FIELDS)
    }


def drawn(tables):
    figures = [figure for figure in draw_figures(tables) if figure.panels]
    verdicts = judge_claims(tables, chosen_claims(("A5", "A7", "A9")))
    return figures, verdicts, render_page(page_content(tables, figures, verdicts), figures)


UNWANTED = (
    "[...document.querySelectorAll('img, iframe, object, embed, base, form:not(.vega-bindings), "
    "video, link, math, main script, main style, template, a[href^=javascript]')]"
    ".map(e => e.outerHTML)"
    ".filter(text => !text.startsWith('<link rel=\"icon\"'))"
)
HANDLERS = (
    "[...document.querySelectorAll('*')].filter(e => [...e.attributes]"
    ".some(a => a.name.startsWith('on'))).length"
)
MARKS = "document.querySelectorAll('.chart > svg, .chart svg.marks').length"


@pytest.mark.fault(30)
@pytest.mark.skipif(not find_chromium(), reason="no Chromium is installed")
def test_payloads_in_every_field_are_shown_and_do_nothing(altered, tables, tmp_path, tally):
    turns = tally.random.sample(range(len(PAYLOADS)), tally.times(1, len(PAYLOADS)))
    each = tally.times(2, 1)  # so that a sample has all payloads, and the campaign each alone
    with Chromium() as browser:
        browser.show(1200)
        for turn in turns:
            payloads = rotated(turn, each)
            figures, verdicts, html = drawn(altered(*poisoned(tables, payloads)))
            folder = tmp_path / str(turn)
            (folder / "charts").mkdir(parents=True)
            page = folder / "report.html"
            page.write_text(html, encoding="utf-8")
            browser.requests.clear()
            assert browser.open(page) == "drawn"
            assert [url for url in browser.requests if url != "about:blank"] == [page.as_uri()]
            assert wrong_in_the_page(browser, payloads) == []
            assert wrong_in_the_text(html) == []
            assert wrong_in_the_charts(folder, figures) == []
            write_claims(folder / "claims.parquet", folder / "claims.csv", verdicts)
            tally.add("payloads × fields", each * len(payloads))
    tally.add("scripts run", 0)
    tally.add("requests", 0)


def wrong_in_the_page(browser: Chromium, payloads: dict[str, str]) -> list[str]:
    """What a payload has done to the open page, and the payloads that it does not show."""
    wrong = list(browser.complaints)  # errors, violations of the policy
    if browser.evaluate("document.documentElement.dataset.fired") is not None:
        wrong.append("a script ran")
    charts = json.loads(browser.evaluate("document.getElementById('page-data').text"))["charts"]
    if not browser.evaluate(MARKS) == len(charts) > 20:
        wrong.append("charts are missing")
    wrong += browser.evaluate(UNWANTED)
    if count := browser.evaluate(HANDLERS):
        wrong.append(f"{count} elements with handlers")
    text = browser.evaluate("document.documentElement.textContent")
    shown = ("title", "description", "arm", "dataset", "source", "device")
    return wrong + [f"{field} is not shown" for field in shown if payloads[field] not in text]


def wrong_in_the_text(html: str) -> list[str]:
    """Signs that could end the element with the data; a policy that allows anything from afar."""
    data = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', html, re.S)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]
    wrong = sorted(set(data[1]) & set("<>&\u2028\u2029"))
    if "default-src &#39;none&#39;" not in policy or "http" in policy:
        wrong.append(policy)
    return wrong


def wrong_in_the_charts(folder: Path, figures) -> list[str]:
    """Charts that are not written; elements and attributes in their files that do something."""
    chosen = [figure for figure in figures if figure.id in ("class-flow", "adp-target")]
    for figure in chosen:
        write_chart(figure.panels[0], folder / "charts", ("svg", "json"))
    written = sorted(path.suffix for path in (folder / "charts").iterdir())
    wrong = [] if written == [".json", ".json", ".svg", ".svg"] else [f"written: {written}"]
    for path in (folder / "charts").glob("*.svg"):
        for element in ElementTree.parse(path).iter():
            if element.tag.rpartition("}")[2] in ("script", "foreignObject", "a", "image"):
                wrong.append(element.tag)
            wrong += [name for name in element.attrib if name.startswith("on")]
            wrong += [v for k, v in element.attrib.items() if ASK in v and "aria" not in k]
    files = (folder / "charts").glob("*.json")
    return wrong + [f.name for f in files if not json.loads(f.read_text("utf-8"))["config"]]
