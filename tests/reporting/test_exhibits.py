"""The exhibits of the FAST paper: which arms they take, and that they draw the tables' numbers."""

import csv
import io
import json
import pkgutil
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import vl_convert
from scipy import stats

from fastpipe.config.checks import EXHIBITS as FOLDER
from fastpipe.config.checks import exhibit_id
from fastpipe.errors import UserError
from fastpipe.reporting import exhibits
from fastpipe.reporting.charts import Figure, asked_exhibits, draw_figures, write_chart
from fastpipe.reporting.drawing.registry import EXHIBITS
from fastpipe.reporting.theme import LIGHT, chart_config

EXHIBITS_OF = {
    "init": ("A-F3", "A-F4", "A-F5"),
    "heterogeneity": ("A-F6", "A-F7"),
    "rates": ("A-F8", "A-F9"),
    "optimisers": ("A-F10", "A-F11", "A-F12", "A-F13"),
    "convergence": ("A-F14", "A-T1", "momentum-form", "layer-distance", "dynamics"),
}
STUDY_OF = {id: study for study, ids in EXHIBITS_OF.items() for id in ids}
SIGMAS = ["N(0, 1)", "N(0, 0.1)", "N(0, 0.01)", "N(0, 1e-4)", "N(0, 1e-8)", "W(0) = 0"]
BASELINES = ["α = β = 0.25, f/i", "α = β = 0.05, f/i", "α = β = 0.01, f/i"]
FAST = "FAST, α = 0.2, β = 0.05"
RATES = ["α = β = 0.05", "α = β = 0.01", "α = β = 0.25", "α = 0.05, β = 0.01", "α = 0.05, β = 0.25"]
ALL = ["Baseline 0.25", "Baseline 0.05", "Baseline 0.01", "FAST", "FAST, averaged"]
LEGENDS = {
    "A-F3": SIGMAS, "A-F4": SIGMAS, "A-F5": SIGMAS,
    "A-F6": ["α = 0", "α = β"],
    "A-F7": ["Kaiming fan-in", "Kaiming fan-out", "Kaiming fan-in + stats", "N(0, 1e-8) + stats"],
    "A-F8": RATES, "A-F9": RATES,
    "A-F10": [FAST, *BASELINES], "A-F11": [FAST, *BASELINES], "A-F12": [FAST, *BASELINES],
    "A-F13": ["SGD, momentum", "Nesterov", "Adam", "RAdam"],
    "A-F14": [*BASELINES, FAST], "A-T1": [*BASELINES, FAST],
    "momentum-form": ["FAST", "FAST, averaged"],
    "layer-distance": ALL, "dynamics": ALL,
}  # fmt: skip


def figure(tables, id: str) -> Figure:
    (found,) = (one for one in draw_figures(tables) if one.exhibit.id == id)
    return found


def values(spec: dict) -> list[dict]:
    """A chart's main data."""
    return max(spec["datasets"].values(), key=len) if "datasets" in spec else spec["data"]["values"]


def views(spec: dict) -> list[dict]:
    return spec.get("vconcat", [spec])


def observed(tables, table: str, column: str, **where) -> list[float]:
    """One number for each seed, found without the report's views and macros."""
    facts = {row["recipe"]: row for row in tables.rows("FROM recipes")}
    own = {k: v for k, v in where.items() if k in next(iter(facts.values())) and k != "steps"}
    recipes = {name for name, row in facts.items() if all(row[k] == v for k, v in own.items())}
    rest = {k: v for k, v in where.items() if k not in own}
    rows = [row for row in tables.rows(f"FROM {table}") if row["recipe"] in recipes
            and all(row[k] == v for k, v in rest.items())]  # fmt: skip
    assert len({row["recipe"] for row in rows}) == 1
    assert len({row["seed"] for row in rows}) == len(rows) == 3
    return [row[column] for row in rows]


def assert_band(row: dict, numbers: list[float]) -> None:
    """Mean and, where nothing cuts it off, the upper limit of the 95 % interval."""
    assert row["mean"] == pytest.approx(np.mean(numbers), rel=1e-5)
    assert row["seeds"] == 3
    half = stats.t.ppf(0.975, 2) * np.std(numbers, ddof=1) / np.sqrt(3)
    high = np.mean(numbers) + half
    assert row["high"] == pytest.approx(high if row["high"] != 1.0 else 1.0, rel=1e-5)


class TestRegistry:
    def test_a_module_holds_one_exhibit_named_after_it(self):
        names = [module.name for module in pkgutil.iter_modules(exhibits.__path__)]
        assert sorted(map(exhibit_id, names)) == sorted(EXHIBITS)
        assert {exhibit_id(path.stem) for path in FOLDER.glob("[a-z]*.py")} == set(EXHIBITS)
        for name in names:
            assert EXHIBITS[exhibit_id(name)].id == exhibit_id(name)

    def test_order(self):
        ids = list(EXHIBITS)
        assert ids[0] == "adp-target"
        fast = [id for id in ids if id.startswith("A-")]
        assert fast == [f"A-F{n}" for n in range(3, 15)] + ["A-T1"]
        assert ids[ids.index("A-T1") + 1] == "C-F1"

    def test_general_ones_have_places_of_their_own(self):
        places = [one.place for one in EXHIBITS.values() if not one.of_paper]
        assert len(set(places)) == len(places)
        assert {one.place for one in EXHIBITS.values() if one.of_paper} == {0}


class TestChoice:
    def test_a_study_draws_what_it_names_in_its_order(self, fast_tables):
        asked = [(study, exhibit.id) for study, exhibit, _ in asked_exhibits(fast_tables)]
        assert asked == [(study, id) for id, study in STUDY_OF.items()]  # and `fast`, none

    def test_a_study_that_names_none_draws_the_general_ones(self, tables):
        asked = asked_exhibits(tables)
        assert [exhibit.id for _, exhibit, _ in asked] == [
            id for id, exhibit in EXHIBITS.items() if not exhibit.of_paper
        ]
        assert not any(named for _, _, named in asked)

    def test_unknown_exhibit(self, altered):
        tables = altered("UPDATE studies SET exhibits = ['A-F99']")
        with pytest.raises(UserError, match=r"unknown exhibit A-F99 .* Known exhibits: adp-target"):
            asked_exhibits(tables)

    def test_two_studies_draw_one_exhibit_apart(self, altered_fast):
        tables = altered_fast("UPDATE studies SET exhibits = ['adp-target', 'head-norm'] "
                              "WHERE name IN ('init', 'rates')")  # fmt: skip
        found = [one for one in draw_figures(tables) if one.exhibit.id == "adp-target"]
        assert [(one.id, one.study) for one in found] == [
            ("adp-target-init", "init"), ("adp-target-rates", "rates"),
        ]  # fmt: skip
        panels = [panel.id for one in draw_figures(tables) for panel in one.panels]
        assert max(Counter(panels).values()) == 1


@pytest.mark.parametrize("id", STUDY_OF)
class TestEach:
    def test_takes_the_arms_meant(self, fast_tables, id):
        found = figure(fast_tables, id)
        assert found.study == STUDY_OF[id]
        assert found.arms == LEGENDS[id]

    def test_renders(self, fast_tables, id, capfd):
        found = figure(fast_tables, id)
        assert found.panels
        for spec in found.charts.values():
            svg = vl_convert.vegalite_to_svg(spec | {"config": chart_config(LIGHT)})
            lines = re.findall(r'class="mark-line[^"]*"[^>]*>(?:<path[^>]* d="M[^"]*L)', svg)
            assert len(lines) >= len(views(spec))
            assert "NaN" not in svg
        assert "WARN" not in "".join(capfd.readouterr())

    def test_one_recipe_and_no_other_moves_a_line(self, altered_fast, id):
        """Rows of other studies, targets and scratch runs do not leak into a band."""
        for panel in figure(altered_fast(), id).panels:
            if isinstance(panel.drawing, dict):
                assert {row["seeds"] for row in values(panel.drawing) if "seeds" in row} <= {3}


class TestNumbers:
    def test_both_tasks(self, fast_tables):
        for id, target in (("A-F3", "mnist"), ("A-F5", "fashion-mnist")):
            (spec,) = figure(fast_tables, id).charts.values()
            for measure, table in (("target", "adp"), ("source", "forgetting")):
                (row,) = (row for row in values(spec) if row["measure"] == measure
                          and row["step"] == 13 and row["arm"] == "N(0, 1e-4)")  # fmt: skip
                assert_band(row, observed(fast_tables, table, "top1", step=13, target=target,
                                          source="smooth", head_init="normal", head_sigma=1e-4,
                                          alpha=0.05))  # fmt: skip

    def test_norms(self, fast_tables):
        (spec,) = figure(fast_tables, "A-F4").charts.values()
        (row,) = (r for r in values(spec) if r["step"] == 3 and r["arm"] == "N(0, 1)")
        assert_band(row, observed(fast_tables, "steps", "head_norm", step=3, target="mnist",
                                  head_sigma=1.0, head_init="normal"))  # fmt: skip

    def test_a_norm_of_zero_has_a_place_and_a_label(self, fast_tables):
        (spec,) = figure(fast_tables, "A-F4").charts.values()
        (zero,) = (r for r in values(spec) if r["step"] == 0 and r["arm"] == "W(0) = 0")
        smallest = min(row["mean"] for row in values(spec) if row["mean"] > 0)
        assert zero["mean"] == 0
        assert zero["mean_at"] == pytest.approx(smallest / 10)
        assert "0" in self.labels(spec)
        assert "1e-5" in self.labels(spec)

    def labels(self, spec: dict) -> set[str]:
        svg = vl_convert.vegalite_to_svg(spec | {"config": chart_config(LIGHT)})
        return set(re.findall(r"<text[^>]*>([^<]*)</text>", svg))

    def test_one_seed_through_warm_up(self, fast_tables):
        (spec,) = figure(fast_tables, "A-F7").charts.values()
        rows = values(spec)
        assert {row["seed"] for row in rows} == {0}
        ends = {row["arm"]: row["switch"] for row in rows}
        runs = fast_tables.rows("FROM runs JOIN recipes USING (recipe) WHERE seed = 0 "
                                "AND warmup <> 'none'")  # fmt: skip
        assert sorted(ends.values()) == sorted(row["warmup_end_step"] for row in runs)
        leaps = [row for row in rows if "leap" in row]
        assert [row["arm"] for row in leaps] == LEGENDS["A-F7"]
        for row in leaps:
            assert row["measure"] == "validation"
            assert row["step"] <= row["leap"] == row["switch"] < row["step"] + 10
            (own,) = (
                r["top1"]
                for r in fast_tables.rows(
                    "FROM validations JOIN recipes USING (recipe) WHERE seed = 0 AND step = ? "
                    "AND warmup || head_init = ?",
                    [row["step"], self.recipe_of(row["arm"])],
                )
            )
            assert row["top1"] == pytest.approx(own, rel=1e-5)

    def recipe_of(self, label: str) -> str:
        warmup = "running-stats" if "stats" in label else "frozen-stats"
        kind = {"Kaiming fan-in": "kaiming-fan-in", "Kaiming fan-out": "kaiming-fan-out"}
        return warmup + kind.get(label.removesuffix(" + stats"), "normal")

    def test_symmetric_and_asymmetric_share_the_reference(self, fast_tables):
        for id, source in (("A-F8", "smooth"), ("A-F9", "rough")):
            found = figure(fast_tables, id)
            assert found.sources == [source]
            arms = [sorted({row["arm"] for row in values(spec)}) for spec in found.charts.values()]
            assert arms == [
                ["α = β = 0.01", "α = β = 0.05", "α = β = 0.25"],
                ["α = 0.05, β = 0.01", "α = 0.05, β = 0.25", "α = β = 0.05"],
            ]
            (row,) = (r for r in values(list(found.charts.values())[1]) if r["step"] == 2
                      and r["measure"] == "norm" and r["arm"] == "α = 0.05, β = 0.01")  # fmt: skip
            assert_band(row, observed(fast_tables, "steps", "head_norm", step=2, source=source,
                                      alpha=0.05, beta=0.01))  # fmt: skip

    def test_a_panel_for_each_source_smooth_first(self, fast_tables):
        for id, optimiser in (("A-F10", "sgd"), ("A-F11", "adam"), ("A-F12", "radam")):
            found = figure(fast_tables, id)
            assert [panel.title for panel in found.panels] == [
                "fashion-mnist from smooth (with skip connections)",
                "fashion-mnist from rough (without skip connections)",
            ]
            (row,) = (r for r in values(found.panels[1].drawing)
                      if r["step"] == 55 and r["arm"] == BASELINES[0])  # fmt: skip
            assert_band(row, observed(fast_tables, "adp", "top1", step=55, source="rough",
                                      optimiser=optimiser, alpha=0.25, beta=0.25,
                                      head_init="kaiming-fan-in"))  # fmt: skip

    def test_early_and_late_together_are_all(self, fast_tables):
        early, late, *_ = figure(fast_tables, "A-F14").charts.values()
        assert (
            max(row["step"] for row in values(early))
            <= 20
            <= min(row["step"] for row in values(late))
        )
        steps = {row["step"] for row in values(early) + values(late)}
        assert steps == {row["step"] for row in fast_tables.rows("SELECT DISTINCT step FROM adp")}

    def test_table(self, fast_tables, tmp_path):
        found = figure(fast_tables, "A-T1")
        assert [row[0] for row in found.panels[0].drawing.rows] == [*BASELINES, FAST]
        folder = tmp_path / "charts"
        folder.mkdir()
        write_chart(found.panels[0], folder, ["svg"])
        (path,) = folder.iterdir()
        assert path.name == "A-T1-digits.csv"
        last = list(csv.DictReader(io.StringIO(path.read_text())))[-1]
        own = {"target": "digits", "alpha": 0.2, "momentum_form": "torch", "source": "smooth"}
        top1 = observed(fast_tables, "runs", "final_top1", **own)
        distance = observed(fast_tables, "runs", "body_distance", **own)
        assert float(last["top1_error"]) == pytest.approx(1 - np.mean(top1))
        half = stats.t.ppf(0.975, 2) * np.std(distance, ddof=1) / np.sqrt(3)
        assert float(last["distance_half_width"]) == pytest.approx(half, rel=1e-6)
        text = found.panels[0].drawing.rows[-1]
        assert text[3] == f"{np.mean(distance):.2f} ± {half:.2f}"

    def test_layers_and_dynamics(self, fast_tables):
        spec = next(iter(figure(fast_tables, "layer-distance").charts.values()))
        own = {"target": "digits", "alpha": 0.25, "beta": 0.25, "source": "smooth"}
        (row,) = (r for r in values(spec) if r["arm"] == "Baseline 0.25" and r["position"] == 2)
        assert_band(row, observed(fast_tables, "layers", "distance", position=2, **own))
        found = figure(fast_tables, "dynamics")
        for id, column in (("entropy", "entropy"), ("error", "squared_error"),
                           ("update", "body_update")):  # fmt: skip
            (row,) = (r for r in values(found.charts[f"dynamics-digits-{id}"])
                      if r["arm"] == "Baseline 0.25" and r["step"] == 21)  # fmt: skip
            assert_band(row, observed(fast_tables, "dynamics", column, step=21, **own))


class TestColours:
    def test_up_to_eight_arms_keep_their_place_in_the_study(self, fast_tables):
        found = figure(fast_tables, "A-F7")
        assert found.domain[:2] == ["frozen head", "learning head"]
        assert found.domain[2:] == found.arms == LEGENDS["A-F7"]

    def test_more_than_eight_go_by_their_place_in_the_figure(self, fast_tables):
        assert len(fast_tables.rows("SELECT DISTINCT arm FROM arms WHERE study = 'optimisers'")) > 8
        for id in ("A-F10", "A-F13"):
            found = figure(fast_tables, id)
            assert found.domain == found.arms

    def test_beyond_eight_in_one_figure_lines_are_dashed(self, altered_fast):
        tables = altered_fast(
            "UPDATE studies SET exhibits = ['adp-target'] WHERE name = 'optimisers'"
        )
        found = figure(tables, "adp-target")
        assert len(found.arms) == 13
        line = found.panels[0].drawing["layer"][1]["encoding"]
        dashes = line["strokeDash"]["scale"]["range"]
        looks = {(index % 8, tuple(dash)) for index, dash in enumerate(dashes)}
        assert len(looks) == 13

    def test_arms_of_the_same_rates_keep_their_own_names(self, altered_fast):
        tables = altered_fast("UPDATE recipes SET beta = 0.25 WHERE alpha = 0.05 AND beta = 0.01")
        assert figure(tables, "A-F8").arms == [
            "reference", "both x0.2", "both x5", "body x0.2", "body x5",
        ]  # fmt: skip

    def test_an_arm_whose_rates_differ_between_sources_keeps_its_name(self, altered_fast):
        same = "FROM recipes WHERE optimiser = 'sgd' AND alpha = 0.2 AND momentum_form = 'torch'"
        tables = altered_fast(
            "INSERT INTO recipes "
            f"SELECT * REPLACE ('other' AS recipe, 0.4 AS alpha) {same} LIMIT 1",
            *(
                f"UPDATE {table} SET recipe = 'other' "
                f"WHERE source = 'rough' AND recipe IN (SELECT recipe {same})"
                for table in ("arms", "runs", "adp")
            ),
        )
        found = figure(tables, "A-F10")
        assert found.arms == ["FAST sgd", "sgd 5 c", "sgd 1 c", "sgd 0.2 c"]
        details = [{row["detail"] for row in values(panel.drawing) if row["arm"] == "FAST sgd"}
                   for panel in found.panels]  # fmt: skip
        assert details == [{FAST}, {"FAST, α = 0.4, β = 0.05"}]


class TestLessThanAll:
    def test_no_baselines_of_one_snapshot_and_scratch(self, altered):
        """A baseline followed over two snapshots only because a scratch arm shares its recipe."""
        tables = altered(
            "UPDATE arms SET recipe = 'baseline+alpha=0.05' WHERE role = 'scratch'",
            "INSERT INTO runs SELECT * REPLACE (0 AS epoch) FROM runs WHERE epoch = 3 "
            "AND recipe = 'baseline+alpha=0.05' AND target = 'fashion-mnist'",
        )
        assert [panel.id for panel in figure(tables, "pretraining-distance").panels] == [
            "pretraining-distance-digits-distance"
        ]

    def test_three_snapshots_of_one_arm_are_enough(self, altered):
        tables = altered("DELETE FROM arms WHERE recipe = 'fast'")
        assert figure(tables, "pretraining-distance").arms == ["Baseline 0.05"]

    @pytest.mark.parametrize("id", [id for id in STUDY_OF if id not in ("A-F4", "dynamics")])
    def test_no_rows_no_panels(self, altered_fast, id):
        assert figure(altered_fast("DELETE FROM runs"), id).panels == []

    def test_forgetting_that_was_not_measured_leaves_one_panel(self, altered_fast):
        (spec,) = figure(altered_fast("DELETE FROM forgetting"), "A-F3").charts.values()
        assert len(spec["vconcat"]) == 1


def test_hostile_names_make_safe_files(altered_fast, tmp_path):
    name = "</script>{{7*7}}../'\""
    tables = altered_fast(
        f"UPDATE studies SET name = name || '{name.replace(chr(39), chr(39) * 2)}'",
        f"UPDATE arms SET study = study || '{name.replace(chr(39), chr(39) * 2)}', "
        f"arm = arm || '{name.replace(chr(39), chr(39) * 2)}'",
        "UPDATE studies SET exhibits = ['adp-target'] WHERE name LIKE 'init%' OR name LIKE 'r%'",
    )
    for one in draw_figures(tables):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", one.id)
        for panel in one.panels:
            assert re.fullmatch(r"[A-Za-z0-9._-]+", panel.id)
    found = figure(altered_fast(), "A-F6")
    write_chart(found.panels[0], tmp_path, ["json"])
    assert json.loads(Path(tmp_path / "A-F6-fashion-mnist.json").read_text())["layer"]
