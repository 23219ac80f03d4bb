"""Exhibits draw what their tables say, and chart files stand alone."""

import json
import re
from xml.etree import ElementTree

import pytest

from fastpipe.reporting.charts import Panel, draw_figures, write_chart
from fastpipe.reporting.drawing.axes import step_position
from fastpipe.reporting.drawing.registry import EXHIBITS
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.drawing.text import rounded
from fastpipe.reporting.theme import LIGHT

ARMS = ["FAST", "Baseline 0.05", "Baseline 0.01", "Warm-up", "Feature extraction", "From scratch"]
ELSEWHERE = {"momentum-form", "scores", "score-ranks", "advice"}
"""Exhibits for which the invented study has no rows."""
GENERAL = [id for id, one in EXHIBITS.items() if not one.of_paper and id not in ELSEWHERE]


def figure(tables, id: str):
    (found,) = draw_figures(tables, {id: EXHIBITS[id]})
    return found


def values(panel: Panel) -> list[dict]:
    """The chart's main data: its longest table."""
    own = [panel.drawing, *panel.drawing["layer"]]
    found = [part["data"]["values"] for part in own if "values" in part.get("data", {})]
    return max([*found, *panel.drawing.get("datasets", {}).values()], key=len)


def encodings(spec: dict) -> list[dict]:
    return [layer["encoding"] for layer in spec["layer"]]


@pytest.mark.parametrize("id", GENERAL)
def test_every_exhibit_draws_something(tables, id):
    panels = figure(tables, id).panels
    assert panels
    for panel in panels:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", panel.id)
        if isinstance(panel.drawing, Table):
            assert panel.drawing.rows
            continue
        assert values(panel)
        for encoding in encodings(panel.drawing):
            for channel in ("x", "y"):
                if "axis" in encoding.get(channel, {}):
                    assert encoding[channel]["title"]
        assert any("tooltip" in encoding for encoding in encodings(panel.drawing))
        assert json.dumps(panel.drawing, allow_nan=False)


@pytest.mark.parametrize("id", GENERAL)
def test_an_empty_study_draws_nothing(altered, id):
    tables = altered(*(f"DELETE FROM {t}" for t in ("runs", "similarity", "flow")))
    assert figure(tables, id).panels == []


def test_ids_are_unique(tables):
    ids = [panel.id for f in draw_figures(tables) for panel in f.panels]
    assert len(ids) == len(set(ids)) == 26


def test_the_line_is_the_mean_and_step_0_is_left_of_1(tables):
    panel = figure(tables, "adp-target").panels[0]
    rows = {(row["arm"], row["step"]): row for row in values(panel)}
    (band,) = tables.rows("FROM adp_bands WHERE arm = 'FAST' AND target = 'digits' AND step = 0")
    row = rows["FAST", 0]
    assert row["mean"] == pytest.approx(band["mean"], rel=1e-5)
    assert row["high"] - row["mean"] == pytest.approx(band["half_width"], rel=1e-3)
    assert row["at"] == 0.5 == step_position(0)
    assert rows["FAST", 1]["at"] == 1


def test_an_arm_has_one_colour_in_all_charts(tables):
    for id in ("adp-target", "adp-source", "warmup-leap", "pretraining-distance"):
        for panel in figure(tables, id).panels:
            (scale,) = {
                json.dumps(e["color"]["scale"]) for e in encodings(panel.drawing) if "color" in e
            }
            assert json.loads(scale) == {"domain": ARMS, "range": "category"}


def test_legends_select_and_name_only_who_is_there(tables):
    spec = figure(tables, "warmup-leap").panels[0].drawing
    assert [p["bind"] for p in spec["params"]] == ["legend"]
    legends = [e["color"]["legend"]["values"] for e in encodings(spec) if "color" in e]
    assert legends == [["FAST", "Warm-up"]] * 2


def test_the_leap_is_shifted_to_the_switch(tables):
    switches = {
        row["seed"]: row["warmup_end_step"]
        for row in tables.rows("FROM runs WHERE recipe = 'warmup' AND target = 'digits'")
    }
    assert set(switches.values()) == {36, 45}
    for row in values(figure(tables, "warmup-leap").panels[0]):
        assert row["since"] == row["step"] - switches[row["seed"]] <= 80


def test_shares_of_a_target_class_add_up(tables):
    rows = values(figure(tables, "class-flow").panels[1])
    totals: dict[str, float] = {}
    for row in rows:
        totals[row["target_class"]] = totals.get(row["target_class"], 0) + row["share"]
    assert len(totals) == 10
    assert all(total == pytest.approx(1, abs=0.02) for total in totals.values())


def test_similarity_at_one_snapshot_ranks_the_targets(altered):
    panel = figure(altered("DELETE FROM similarity WHERE epoch < 3"), "similarity").panels[0]
    assert encodings(panel.drawing)[0]["y"]["scale"]["domain"] == ["digits", "fashion-mnist"]
    assert {row["target"] for row in values(panel)} == {"digits", "fashion-mnist"}


def test_many_classes_are_cut(altered):
    tables = altered(
        "DELETE FROM flow",
        "INSERT INTO flow SELECT 'mnist-cnn', 3, 'digits', 's' || (i % 50), 't' || i, "
        "(i + 1) / 5050 FROM range(100) t(i)",
    )
    rows = values(figure(tables, "class-flow").panels[0])
    assert len({row["target_class"] for row in rows}) <= 30
    assert {row["target_class"] for row in rows} >= {"t99", "t80"}


def test_norms_are_thinned_but_keep_both_ends(tables):
    steps = sorted({row["step"] for row in values(figure(tables, "head-norm").panels[0])})
    assert steps[:20] == list(range(20))
    assert steps[-1] == 200
    assert len(steps) < 100


def test_diverged_runs_leave_no_hole_in_the_others(altered):
    tables = altered("UPDATE steps SET head_norm = 'nan', loss = 'inf' WHERE seed = 0 AND step > 9")
    rows = values(figure(tables, "head-norm").panels[0])
    late = [row for row in rows if row["step"] > 9]
    assert late
    assert {row["seeds"] for row in late} == {4}


def test_one_seed_has_no_interval(altered):
    tables = altered("DELETE FROM runs WHERE seed > 0")
    row = values(figure(tables, "adp-target").panels[0])[0]
    assert row["interval"] == "–"
    assert row["low"] == row["mean"] == row["high"]


def test_hostile_names_make_safe_files(altered):
    tables = altered("UPDATE adp SET target = '../x y'", "UPDATE runs SET target = '../x y'",
                     "UPDATE arms SET target = '../x y'")  # fmt: skip
    (panel,) = figure(tables, "adp-target").panels
    assert re.fullmatch(r"adp-target-\.\._x_y-[0-9a-f]{8}", panel.id)
    assert panel.title == "../x y"


def test_files(tables, tmp_path):
    panel = figure(tables, "similarity").panels[0]
    write_chart(panel, tmp_path, ["json", "svg", "png"])
    spec = json.loads((tmp_path / "similarity.json").read_text())
    assert "vega-lite" in spec["$schema"]
    assert spec["config"]["background"] == LIGHT.paper
    assert "url" not in json.dumps(spec["layer"])
    svg = ElementTree.parse(tmp_path / "similarity.svg").getroot()
    words = {"".join(element.itertext()) for element in svg.iter() if element.tag.endswith("text")}
    assert {"How similar are source and target?", "digits", "fashion-mnist"} <= words
    assert (tmp_path / "similarity.png").read_bytes().startswith(b"\x89PNG")


def test_only_the_formats_asked_for(tables, tmp_path):
    folder = tmp_path / "charts"
    folder.mkdir()
    write_chart(figure(tables, "similarity").panels[0], folder, ["svg"])
    assert [path.name for path in folder.iterdir()] == ["similarity.svg"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.123456789, 0.123457), (0, 0), (None, None), (-1234567.8, -1234570.0), (2.5e-9, 2.5e-9)],
)
def test_rounded(value, expected):
    assert rounded(value) == expected


def test_a_chart_drawn_again_has_the_same_bytes(tables, tmp_path):
    panel = figure(tables, "adp-source").panels[0]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_chart(panel, tmp_path / name, ["svg", "png"])
    for suffix in ("svg", "png"):
        a, b = ((tmp_path / name / f"{panel.id}.{suffix}").read_bytes() for name in ("a", "b"))
        assert a == b
    svg = (tmp_path / "a" / f"{panel.id}.svg").read_text()
    defined = re.findall(r'<clipPath id="(\w+)"', svg)
    assert defined == [f"clip{i}" for i in range(1, len(defined) + 1)]
    assert set(re.findall(r"url\(#(\w+)\)", svg)) <= set(defined)


@pytest.mark.fault(30)
def test_signs_that_no_svg_can_hold_are_written_as_escapes(tmp_path):
    """One of them would end the whole process, within the library that draws."""
    named = "a\x00b\x07c\x1b[31m\ufffe\ud800 d\té🦉</script>"
    values = [{"class": named, "count": 1}, {"class": "x", "count": 2}]
    spec = {
        "data": {"values": values},
        "mark": "bar",
        "encoding": {
            "x": {"field": "class", "type": "nominal", "axis": {"labelLimit": 900}},
            "y": {"field": "count", "type": "quantitative"},
        },
    }
    write_chart(Panel("bars", "Bars", spec), tmp_path, ("svg",))
    texts = ElementTree.parse(tmp_path / "bars.svg").iter("{http://www.w3.org/2000/svg}text")
    assert "a\\x00b\\x07c\\x1b[31m\\ufffe\\ud800 d\té🦉</script>" in [one.text for one in texts]
