"""The page: self-contained, literal, and the same bytes for the same numbers."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from fastpipe.reporting.charts import draw_figures
from fastpipe.reporting.chromium import Chromium, find_chromium
from fastpipe.reporting.claims.verdicts import chosen_claims, judge_claims
from fastpipe.reporting.page.content import page_content
from fastpipe.reporting.page.render import render_page

HOSTILE = "</script><img src=x onerror=alert(1)>{{7*7}}\u2028&amp;'\""
needs_chromium = pytest.mark.skipif(not find_chromium(), reason="no Chromium is installed")


class Reader(HTMLParser):
    """Elements, text by element, and everything that could load or run something."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.raw: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        if self.tags[-1:] in (["script"], ["style"]) and self.lasttag in ("script", "style"):
            self.raw.append(data)
        self.text += data

    def get(self, tag: str, name: str) -> list[str]:
        return [v for t, n, v in self.attributes if (t, n) == (tag, name)]


def page(tables, *claims: str) -> str:
    figures = [f for f in draw_figures(tables) if f.panels]
    content = page_content(tables, figures, judge_claims(tables, chosen_claims(claims)))
    return render_page(content, figures)


@pytest.fixture(scope="module")
def html(collected, tmp_path_factory):
    from fastpipe.reporting.tables import Tables

    with Tables(collected, tmp_path_factory.mktemp("page")) as tables:
        return page(tables, "A5", "A7", "A9")


@pytest.fixture
def hostile(altered) -> str:
    quoted = HOSTILE.replace("'", "''")
    return page(
        altered(
            f"UPDATE studies SET title = '{quoted}', name = '{quoted}', description = '{quoted}'",
            f"UPDATE arms SET arm = arm || '{quoted}', study = '{quoted}'",
            f"INSERT INTO findings VALUES ('{quoted}', 'A7', '{quoted}')",
            f"UPDATE flow SET source_class = '{quoted}', target_class = target_class || '{quoted}'",
            *(f"UPDATE {t} SET target = target || '{quoted}'"
              for t in ("arms", "runs", "adp", "forgetting", "validations", "similarity", "flow")),
            f"UPDATE datasets SET dataset = dataset || '{quoted}'",
        ),
        "A7",
    )  # fmt: skip


def test_nothing_is_loaded(html):
    reader = Reader(html)
    assert not set(reader.tags) & {"img", "iframe", "object", "embed", "base", "form", "audio"}
    assert reader.get("link", "href") == ["data:,"]
    assert not [a for a in reader.attributes if a[1] in ("src", "srcset", "style", "action")]
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    assert all(href.startswith("#") for href in reader.get("a", "href"))


@pytest.mark.fault(30)
def test_policy_allows_exactly_the_pages_own_code(html):
    (policy,) = [v for v in Reader(html).get("meta", "content") if "default-src" in v]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    assert "http" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    assert len(scripts) == 3
    for text, allowed in zip(scripts, rules["script-src"].split(), strict=True):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert allowed == f"'sha256-{digest}'"
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert rules["style-src"] == f"'sha256-{digest}'"


def test_links_and_charts_lead_somewhere(html):
    reader = Reader(html)
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in reader.get("a", "href")} <= set(ids)
    data = json.loads(re.search(r'id="page-data">(.*?)</script>', html, re.S)[1])
    assert set(reader.get("div", "data-chart")) == set(data["charts"])
    assert len(data["charts"]) == 24
    assert set(data["legends"]) <= set(ids)
    assert {int(i) for i in reader.get("button", "data-arm")} == set(range(6))


def test_same_numbers_same_bytes(html, tables):
    assert page(tables, "A5", "A7", "A9") == html


def claim_row(html: str, claim: str) -> tuple[str, str]:
    """The HTML of one claim's row and details, and its words."""
    section = re.search(rf'(<tbody class="claim" id="claim-{claim}".*?)</details>', html, re.S)[1]
    return section, re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", section))


def test_claims_are_shown_with_their_numbers(html, tables):
    (a7,) = judge_claims(tables, chosen_claims(["A7"]))
    contrast = next(iter(a7.contrasts.values()))[0]
    found = contrast.estimate
    section, text = claim_row(html, "A7")
    assert contrast.name == "FAST − Baseline 0.05"
    assert f"{contrast.name} +{found.value:.3f}" in text.replace("BCa", "")
    assert f"+{found.low:.3f} to +{found.high:.3f}" in text
    assert f"+{found.effect_size:.2f}" in text
    assert '<a href="#adp-target">figure 1</a>' in re.sub(r"<a\s+", "<a ", section)
    assert 'class="verdict supported"' in section
    assert "FAST, §6.6, Figs 10–12" in text
    assert "Looked into" not in text


def test_the_row_shows_the_comparison_that_decides(html, tables):
    (a7,) = judge_claims(tables, chosen_claims(["A7"]))
    setting, contrast = a7.decisive
    row = claim_row(html, "A7")[1].partition("comparisons in")[0]
    assert f"+{contrast.estimate.value:.3f}" in row
    assert f"{contrast.name}, on {setting.target} (decides among 4)" in row
    weakest = max(one.p_holm for one in a7.settings.values())
    assert a7.settings[setting].p_holm == weakest


def test_contradicted_and_not_run_claims(altered):
    swap = """UPDATE arms SET role = CASE role WHEN 'fast' THEN 'baseline'
              WHEN 'baseline' THEN 'fast' WHEN 'warmup' THEN 'other' ELSE role END"""
    finding = "INSERT INTO findings VALUES ('demo', 'A7', 'Roles were swapped.')"
    html = page(altered(swap, finding), "A5", "A7")
    assert '<span class="verdict contradicted">contradicted</span>' in html
    assert '<span class="verdict not-run">not run</span>' in html
    assert "The study has no runs to judge this by." in claim_row(html, "A5")[1]
    assert "Looked into: Roles were swapped." in re.sub(
        " +", " ", claim_row(html, "A7")[1]
    ).replace(" :", ":")


def test_exact_checks_tell_how_far_they_are_off(altered):
    html = page(
        altered(
            "UPDATE studies SET claims = ['A13']",
            "UPDATE recipes SET head_init = 'zeros' WHERE recipe = 'fast'",
        ),
        "A13",
    )
    text = claim_row(html, "A13")[1]
    assert "−1.0e−02" in text  # the invented cosine is 0.99
    assert "exact check off by" in text


def test_ten_pairs_show_the_bootstrap(altered):
    tables = altered(
        "INSERT INTO runs SELECT * REPLACE (seed + 5 AS seed, adp_auc + 0.01 * seed AS adp_auc) "
        "FROM runs",
        "UPDATE arms SET seeds = range(10)",
    )
    assert re.search(r">BCa \+0\.\d{3} to \+0\.\d{3}<", page(tables, "A7"))


TWO_STUDIES = (
    "INSERT INTO studies BY NAME SELECT 1 AS position, 'second' AS name, 'Once more' AS title, "
    "'The same runs.' AS description, 'Also invented.' AS scale, ['A9'] AS claims",
    "INSERT INTO arms SELECT 'second', position, arm || ' again', role, source, epoch, target, "
    "recipe, seeds FROM arms WHERE role IN ('fast', 'baseline')",
)


def test_two_studies_have_their_own_arms_and_tables(altered):
    html = page(altered(*TWO_STUDIES), "A9")
    text = re.sub(r"\s+", " ", re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", html, flags=re.S))
    assert "Once more The same runs. Also invented. FAST again" in text
    assert text.count("A small network has learnt") == 1
    headings = re.findall(r"<h3>(.*?)</h3>", html[html.index('id="final-table"') :])
    own = "FAST and the usual ways to fine-tune"
    targets = ("digits", "fashion-mnist")
    assert headings == [f"{study} · {name}" for study in (own, "Once more") for name in targets]
    assert "digits (Once more)" in claim_row(html, "A9")[1]
    assert "8 comparisons in 4 settings" in claim_row(html, "A9")[1]


class TestFinalTable:
    def bold(self, tables) -> list[str]:
        html = page(tables)
        table = re.search(r'aria-label="Final numbers on digits">(.*?)</table>', html, re.S)[1]
        rows = re.findall(r"<tr>(.*?)</tr>", table, re.S)[1:]
        return [
            re.search(r"</span>([^<]+)", row)[1]
            for row in rows
            if "<b>" in re.findall(r"<td.*?</td>", row, re.S)[0]
        ]

    def test_the_best_top1_is_bold(self, tables):
        assert self.bold(tables) == ["FAST"]

    def test_ties_as_printed_are_all_bold(self, altered):
        same = "UPDATE runs SET final_top1 = 0.99 + 0.00001 * (recipe = 'fast')::INT"
        (count,) = {len(self.bold(altered(same)))}
        assert count == 6

    def test_an_arm_that_diverged_is_never_the_best(self, altered):
        diverged = "UPDATE runs SET status = 'diverged' WHERE recipe = 'fast' AND seed = 1"
        assert self.bold(altered(diverged)) == ["Warm-up"]

    def test_no_times(self, html):
        assert "seconds" not in html[html.index('id="final-table"') : html.index('id="methods"')]


@pytest.mark.fault(30)
def test_hostile_names_stay_text(hostile):
    reader = Reader(hostile)
    assert "img" not in reader.tags
    assert reader.tags.count("script") == 4
    assert HOSTILE in reader.text.replace("\n", "\n")
    assert "<img src=x" not in hostile
    assert "\u2028" not in re.search(r'id="page-data">(.*?)</script>', hostile, re.S)[1]
    assert "49" not in reader.get("button", "data-of")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM runs",
        "DELETE FROM forgetting",
        "DELETE FROM snapshots",
        "DELETE FROM datasets",
        "DELETE FROM arms WHERE role <> 'other'",
        "DELETE FROM runs WHERE seed > 0",
        "UPDATE runs SET seconds = NULL, final_top5 = NULL, device = NULL",
        "UPDATE adp SET top1 = NULL WHERE recipe = 'fast'",
    ],
)
def test_whatever_is_missing_is_left_out(altered, statement):
    html = page(altered(statement), "A5", "A7", "A9")
    assert "Data and methods" in html
    text = re.sub(r"<(script|style).*?</\1>", "", html, flags=re.S)
    assert not re.search(r"\bNone\b|\bnan\b", text)


@pytest.mark.fault(19)
def test_repeated_images_of_a_dataset_are_told(altered, html):
    card = {
        "duplicates": {"test_in_train": 1_234, "test_in_val": 0, "val_in_train": 2},
        "images_with_several_labels": 5,
        "unreadable_count": 1,
    }
    name = "(SELECT min(dataset) FROM datasets)"
    told = page(altered(f"UPDATE datasets SET card = '{json.dumps(card)}' WHERE dataset = {name}"))
    expected = (
        "(pixel by pixel): 1,234 test images are also in training, 2 validation images are also in "
        "training, 5 images have several labels, 1 files could not be read and are left out."
    )
    assert told.count(expected) == 1
    assert "pixel by pixel" not in html


@pytest.mark.fault(23)
def test_diverged_runs_are_in_the_table(altered):
    html = page(altered("UPDATE runs SET status = 'diverged' WHERE recipe = 'fast' AND seed = 1"))
    assert "1 of 5 diverged" in html


@needs_chromium
class TestInChromium:
    @pytest.fixture
    def opened(self, html, tmp_path):
        path = tmp_path / "report.html"
        path.write_text(html, encoding="utf-8")
        with Chromium() as browser:
            browser.show(1200)
            assert browser.open(path) == "drawn"
            yield browser

    def test_draws_choose_download_and_ask_for_nothing(self, opened):
        assert (
            opened.evaluate("document.querySelectorAll('.chart > svg, .chart svg.marks').length")
            == 24
        )
        self.choose_an_arm(opened)
        self.download(opened)
        self.switch_theme(opened)
        assert [url for url in opened.requests if not url.startswith(("data:", "blob:"))] == [
            opened.evaluate("location.href")
        ]
        assert opened.complaints == []

    def test_filters_choose_claims(self, altered, tmp_path):
        swap = "UPDATE arms SET role = 'other' WHERE role = 'warmup'"
        path = tmp_path / "report.html"
        path.write_text(page(altered(swap), "A5", "A7", "A9"), encoding="utf-8")
        shown = (
            "[...document.querySelectorAll('.claims > tbody')]"
            ".filter(c => c.getClientRects().length).map(c => c.id)"
        )
        state = "document.getElementById('filter-state').textContent"
        with Chromium() as browser:
            browser.show(1200)
            browser.open(path)
            assert browser.evaluate(shown) == ["claim-A5", "claim-A7", "claim-A9"]
            self.select(browser, "verdict", "supported")
            assert browser.evaluate(shown) == ["claim-A7", "claim-A9"]
            assert browser.evaluate(state) == "2 of 3 claims shown"
            # a link to a claim that is filtered away brings it back, opened
            browser.evaluate(
                "new Promise(r => { addEventListener('hashchange', () => setTimeout(r, 0));"
                "location.hash = 'claim-A5'; })"
            )
            assert browser.evaluate(state) == "3 of 3 claims shown"
            assert browser.evaluate("document.querySelector('#claim-A5 details').open")
            # and the same link does so again, though the address stays as it is
            self.select(browser, "verdict", "supported")
            browser.evaluate("document.querySelector('a[href=\"#claim-A5\"]').click()")
            assert browser.evaluate(state) == "3 of 3 claims shown"
            self.select(browser, "paper", "FAST")
            assert len(browser.evaluate(shown)) == 3
            assert browser.complaints == []
            assert [url.partition("#")[0] for url in browser.requests] == [path.as_uri()]

    def select(self, browser, name: str, value: str):
        browser.evaluate(
            f"(() => {{ const select = document.getElementById('filter-{name}');"
            f"select.focus(); select.value = '{value}';"
            "select.dispatchEvent(new Event('change', { bubbles: true })); })()"
        )

    def choose_an_arm(self, browser):
        faded = (
            "[...document.querySelectorAll('#adp-target .mark-line path')]"
            ".filter(p => p.getAttribute('opacity') === '0.12').length"
        )
        assert browser.evaluate(faded) == 0
        browser.evaluate("document.querySelector('#adp-target .key').click()")
        assert browser.evaluate(faded) == 2 * 5
        browser.evaluate("document.querySelector('#adp-target .key').click()")
        assert browser.evaluate(faded) == 0

    def download(self, browser):
        browser.evaluate(
            "window.saved = {};"
            "URL.createObjectURL = (blob) => { window.blob = blob; return '#'; };"
            "HTMLAnchorElement.prototype.click = function () {"
            "  const blob = window.blob; window.saved[this.download] ="
            "    this.href.startsWith('data:') ? Promise.resolve(this.href) : blob.text(); }; 0"
        )
        for kind in ("csv", "svg", "png"):
            browser.evaluate(
                f"document.querySelector('#similarity [data-download={kind}]').click()"
            )
            saved = browser.evaluate(
                f"(async () => {{ while (!window.saved['similarity.{kind}'])"
                f" await new Promise(r => setTimeout(r, 20));"
                f" return await window.saved['similarity.{kind}']; }})()"
            )
            start = {"csv": "target,epoch,", "svg": "<svg", "png": "data:image/png;base64,iVBOR"}
            assert saved.startswith(start[kind])
        assert "#ffffff" in browser.evaluate("window.saved['similarity.svg']")

    def switch_theme(self, browser):
        background = "getComputedStyle(document.documentElement).backgroundColor"
        line = "getComputedStyle(document.querySelector('#similarity .mark-line path')).stroke"
        before = browser.evaluate(background), browser.evaluate(line)
        browser.evaluate("document.getElementById('theme').click()")
        after = browser.evaluate(background), browser.evaluate(line)
        assert before == ("rgb(255, 255, 255)", "rgb(27, 29, 33)")
        assert after == ("rgb(20, 22, 26)", "rgb(233, 234, 237)")

    def test_fits_a_phone(self, opened):
        opened.show(390, phone=True)
        opened.evaluate("new Promise(r => setTimeout(r, 300))")
        assert opened.evaluate("document.documentElement.scrollWidth") == 390
        opened.evaluate("document.querySelectorAll('.claim details').forEach(d => d.open = true)")
        assert opened.evaluate("document.documentElement.scrollWidth") == 390

    @pytest.mark.fault(30)
    def test_hostile_names_run_nothing(self, hostile, tmp_path):
        path = tmp_path / "report.html"
        path.write_text(hostile, encoding="utf-8")
        with Chromium() as browser:
            state = browser.open(path)
            assert (state, browser.complaints) == ("drawn", [])
            assert browser.requests == [path.as_uri()]
            assert browser.evaluate("document.querySelectorAll('img, main script').length") == 0
            assert browser.evaluate("document.querySelector('h1').textContent") == HOSTILE
            axis = "[...document.querySelectorAll('#class-flow text')].map(t => t.textContent)"
            assert any("</script><img" in text for text in browser.evaluate(axis))


@pytest.fixture(scope="module")
def fast_html(collected_fast, tmp_path_factory):
    from fastpipe.reporting.tables import Tables

    with Tables(collected_fast, tmp_path_factory.mktemp("fast")) as tables:
        return page(tables)


class TestFigures:
    def section(self, html: str, id: str) -> str:
        found = re.search(rf'<section id="{id}">(.*?)</section>', html, re.S)[1]
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found))

    def test_captions_say_the_scale_of_their_own_study(self, fast_html):
        text = self.section(fast_html, "A-F3")
        assert "Scale: The scale of init (resnet18 on mnist, 3 seeds, up to 200 steps)." in text
        assert "(resnet18 on mnist, 1 seed, up to 200 steps)" in self.section(fast_html, "A-F7")
        assert "(vgg19 on mnist, 3 seeds" in self.section(fast_html, "A-F9")

    def test_a_table_is_text(self, fast_html, altered_fast):
        assert "FAST, α = 0.2, β = 0.05" in self.section(fast_html, "A-T1")
        assert "Table 13 A-T1" in self.section(fast_html, "A-T1")
        quoted = HOSTILE.replace("'", "''")
        html = page(altered_fast(
            "UPDATE recipes SET beta = alpha WHERE recipe NOT LIKE '%ema%'",
            "DELETE FROM arms WHERE role <> 'fast' OR study <> 'convergence'",
            f"INSERT INTO arms SELECT * REPLACE (arm || '{quoted}' AS arm, 9 AS position, "
            "'alpha=0.05+beta=0.05+head_init=kaiming-fan-in' AS recipe, 'baseline' AS role) "
            "FROM arms",
            "UPDATE recipes SET head_init = 'zeros', beta = 0.2, alpha = 0.2",
        ))  # fmt: skip
        assert HOSTILE in Reader(html).text
        assert "<img src=x" not in html

    def test_named_exhibits_without_rows_are_noted(self, altered_fast):
        html = page(altered_fast("DELETE FROM arms WHERE study = 'heterogeneity' "
                                 "AND role = 'warmup'"))  # fmt: skip
        assert re.search(r"Not shown, A-F7 of heterogeneity, “[^”]+”: No arm warms its head up",
                         html)  # fmt: skip
        assert html.count("Not shown") == 1

    def test_arms_on_an_earlier_snapshot_only_are_noted(self, altered):
        assert "Not compared" not in page(altered())
        html = page(altered(
            "INSERT INTO arms SELECT * REPLACE ('Early' AS arm, 20 AS position, "
            "'warmup' AS recipe) FROM arms WHERE arm = 'fast-by-epoch' AND epoch = 1",
        ))  # fmt: skip
        assert "Not compared: Early on digits, after 1 epoch of mnist-cnn, which is not" in html


@needs_chromium
class TestStackedInChromium:
    @pytest.fixture
    def opened(self, fast_html, tmp_path):
        path = tmp_path / "report.html"
        path.write_text(fast_html, encoding="utf-8")
        with Chromium() as browser:
            browser.show(1200)
            assert browser.open(path) == "drawn"
            yield browser

    def test_fits_draws_chooses_and_downloads(self, opened):
        self.fits(opened, width=1200)
        faded = (
            "[...document.querySelectorAll('#A-F3 .mark-line path')]"
            ".filter(p => p.getAttribute('opacity') === '0.12').length"
        )
        assert opened.evaluate(faded) == 0
        opened.evaluate("document.querySelector('#A-F3 .key').click()")
        assert opened.evaluate(faded) == 2 * 5  # in both panels
        opened.evaluate(
            "window.saved = {};"
            "URL.createObjectURL = (blob) => { window.blob = blob; return '#'; };"
            "HTMLAnchorElement.prototype.click = function () {"
            "  const blob = window.blob; window.saved[this.download] ="
            "    this.href.startsWith('data:') ? Promise.resolve(this.href) : blob.text(); }; 0"
        )
        table = self.saved(opened, "A-T1", "A-T1-digits", "csv")
        assert table.startswith("arm,method,seeds,top1_error,top1_error_half_width,")
        stacked = self.saved(opened, "A-F3", "A-F3-mnist", "csv")
        assert ",target," in stacked
        assert ",source," in stacked
        svg = self.saved(opened, "A-F3", "A-F3-mnist", "svg")
        assert svg.startswith("<svg") and "ADP on the source Ts" in svg and "N(0, 1e-8)" in svg
        assert self.saved(opened, "A-F3", "A-F3-mnist", "png").startswith("data:image/png")
        opened.show(390, phone=True)
        opened.evaluate("new Promise(r => setTimeout(r, 600))")
        self.fits(opened, width=390)
        assert opened.complaints == []
        assert [url for url in opened.requests if not url.startswith(("data:", "blob:"))] == [
            opened.evaluate("location.href")
        ]

    def fits(self, browser, width: int):
        assert browser.evaluate("document.documentElement.scrollWidth") == width
        spare = browser.evaluate(
            "[...document.querySelectorAll('[data-chart]')].map(e => e.clientWidth - "
            "e.querySelector('svg').getBoundingClientRect().width)"
        )
        assert len(spare) == 31
        assert all(-0.5 <= one < 8 for one in spare), spare

    def saved(self, browser, section: str, name: str, kind: str) -> str:
        browser.evaluate(
            f"document.querySelector('#{section} [data-of=\"{name}\"][data-download={kind}]')"
            ".click()"
        )
        return browser.evaluate(
            f"(async () => {{ while (!window.saved['{name}.{kind}'])"
            f" await new Promise(r => setTimeout(r, 20));"
            f" return await window.saved['{name}.{kind}']; }})()"
        )


def test_the_columns_of_final_numbers_are_explained_if_they_are_there(altered):
    def explained(tables):
        html = page(tables)
        section = html[html.index('id="final-table"') :].partition("<h3>")[0]
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", section))

    text = explained(altered())
    assert "a log scale of steps. Forgotten is the accuracy lost on the source. Distance" in text
    without = explained(altered("UPDATE runs SET final_forgotten = NULL"))
    assert "steps. Distance is" in without and "orgotten" not in without
