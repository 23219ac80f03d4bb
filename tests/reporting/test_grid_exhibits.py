"""The grids of the hyperparameters paper: what is drawn equals what loops over raw rows give."""

import re
from collections import defaultdict
from itertools import product

import numpy as np
import pytest
import vl_convert
from scipy import stats

from fastpipe.reporting.charts import Figure, draw_figures
from fastpipe.reporting.drawing.registry import EXHIBITS
from fastpipe.reporting.page.content import page_content
from fastpipe.reporting.theme import LIGHT, chart_config

MAIN = ("C-T1", "C-T2", "C-T3", "C-F3", "C-F4", "C-T4", "C-F5", "C-F8", "C-F9")
CURVES = {"C-F4": "elr", "C-F5": "effective_decay"}
FROM_MNIST = "fine-tuned-hp-mnist"


def figure(tables, id: str, study: str = "hp-grid") -> Figure:
    (one,) = (one for one in draw_figures(tables, {id: EXHIBITS[id]}) if one.study == study)
    return one


def values(spec: dict) -> list[dict]:
    return max(spec["datasets"].values(), key=len) if "datasets" in spec else spec["data"]["values"]


class Raw:
    """Means over seeds by source, target and recipe, from the first tables alone."""

    def __init__(self, tables):
        self.recipes = {row["recipe"]: row for row in tables.rows("FROM recipes")}
        self.declared = tables.rows("SELECT DISTINCT study, role = 'scratch' AS scratch, source, "
                                    "epoch, target, recipe FROM arms")  # fmt: skip
        self.val, self.test = (self._last(tables.rows(f"FROM {name}")) for name in
                               ("validations", "adp"))  # fmt: skip

    @staticmethod
    def _last(rows) -> dict[tuple, dict[int, float]]:
        found: dict[tuple, dict[int, float]] = defaultdict(dict)
        for row in sorted(rows, key=lambda row: row["step"]):
            found[row["source"], row["epoch"], row["target"], row["recipe"]][row["seed"]] = row[
                "top1"
            ]
        return found

    def variants(self, study: str, source: str, target: str) -> list[dict]:
        """Each recipe with its effective rates, validation accuracy and test errors."""
        found = []
        for own in self.declared:
            if (own["study"], own["source"], own["target"]) == (study, source, target):
                key = (source, own["epoch"], target, own["recipe"])
                recipe = self.recipes[own["recipe"]]
                rate, momentum, decay = (recipe[n] for n in ("alpha", "momentum", "weight_decay"))
                found.append({
                    "recipe": own["recipe"], "rate": rate, "momentum": momentum, "decay": decay,
                    "elr": round(rate / (1 - momentum), 9),
                    "effective_decay": round(decay / rate, 9),
                    "val": np.mean(list(self.val[key].values())),
                    "errors": [1 - top1 for top1 in self.test[key].values()],
                })  # fmt: skip
        return list({row["recipe"]: row for row in found}.values())

    def best(self, study: str, source: str, target: str, *fields: str) -> dict[tuple, dict]:
        """Value → the variant with the best validation accuracy among those with that value."""
        best: dict[tuple, dict] = {}
        for row in self.variants(study, source, target):
            key = tuple(row[field] for field in fields)
            if key not in best or row["val"] > best[key]["val"]:
                best[key] = row
        return best


def assert_error(text: str, errors: list[float]) -> None:
    """ "17.2 ± 0.4" is mean and half width, in percent."""
    half = stats.t.ppf(0.975, len(errors) - 1) * np.std(errors, ddof=1) / np.sqrt(len(errors))
    mean, spread = (float(part) for part in text.replace("\u2009", "").split("±"))
    assert mean == pytest.approx(100 * np.mean(errors), abs=0.051)
    assert spread == pytest.approx(100 * half, abs=0.051)


@pytest.mark.parametrize("id", MAIN)
def test_draws_without_complaint(grid_tables, id, capfd):
    found = figure(grid_tables, id)
    assert found.panels
    for spec in found.charts.values():
        svg = vl_convert.vegalite_to_svg(spec | {"config": chart_config(LIGHT)})
        assert "NaN" not in svg
        assert "undefined" not in svg
        assert not re.search(r">[^<]*\de[-+]\d", svg)  # no label like 1e-2
        assert all(name in svg for name in found.domain)
    assert "WARN" not in "".join(capfd.readouterr())


class TestCurves:
    @pytest.mark.parametrize("id", CURVES)
    @pytest.mark.parametrize("source", ["hp-mnist", "hp-fashion", "hp-low"])
    def test_best_error_at_each_value(self, grid_tables, synthetic_grid, id, source):
        spec = figure(grid_tables, id).charts[f"{id if id == 'C-F5' else 'C-F4-hp-grid'}"
                                              f"-fine-tuned-{source}"]  # fmt: skip
        raw, field = Raw(grid_tables), CURVES[id]
        for target in synthetic_grid.TARGETS:
            drawn = [row for row in values(spec) if row["target"] == target]
            best = raw.best("hp-grid", source, target, field)
            assert len(drawn) == len(best) == {"elr": 7, "effective_decay": 6}[field]
            for (value,), own in best.items():
                (row,) = (row for row in drawn if row[field] == pytest.approx(value, rel=1e-5))
                assert row["error"] == pytest.approx(np.mean(own["errors"]), rel=1e-5)
                assert_error(row["text"], own["errors"])
            (ringed,) = (row for row in drawn if row["chosen"])
            (chosen,) = max(best, key=lambda key: best[key]["val"])
            assert ringed[field] == pytest.approx(chosen, rel=1e-5)

    def test_choices_do_not_depend_on_test_images(self, altered_grid):
        """With test accuracies turned upside down, the same variants are drawn and ringed."""
        turned = altered_grid("UPDATE adp SET top1 = 1 - top1",
                              "UPDATE runs SET final_top1 = 1 - final_top1")  # fmt: skip
        for id in CURVES:
            choices = [
                [
                    {name: row[name] for name in ("target", "variant", "chosen", CURVES[id])}
                    for panel in figure(tables, id).panels
                    for row in values(panel.drawing)
                ]
                for tables in (altered_grid(), turned)
            ]
            assert choices[0] == choices[1]
            errors = [row["error"] for row in values(figure(turned, id).panels[0].drawing)]
            assert max(errors) > 0.9

    def test_of_equals_the_smallest_rate_is_ringed(self, altered_grid):
        """Not the one whose name comes first: that is the default, at 0.1."""
        tables = altered_grid(
            "UPDATE runs SET val_top1 = 0.5",
            "UPDATE runs SET val_top1 = 0.6 WHERE recipe IN ("
            "SELECT recipe FROM recipes WHERE weight_decay > 0 AND momentum > 0 AND elr < 0.2)",
        )
        rows = values(figure(tables, "C-F4").panels[0].drawing)
        assert {row["elr"] for row in rows if row["chosen"]} == {0.03}

    def test_targets_have_their_colours_by_similarity_to_the_first_source(self, altered_grid):
        tables = altered_grid(
            "UPDATE similarity SET similarity = 1 - similarity WHERE source = 'hp-mnist'",
            "UPDATE similarity SET similarity = 0.99 WHERE source = 'hp-mnist' "
            "AND target = 'mnist-turned'",
        )
        order = [row["target"] for row in tables.rows(
            "FROM similarity WHERE source = 'hp-mnist' ORDER BY similarity DESC")]  # fmt: skip
        assert order[0] == "mnist-turned"
        for one in draw_figures(tables, {id: EXHIBITS[id] for id in CURVES}):
            assert one.domain == one.arms == order

    def test_without_similarities_targets_are_drawn_as_declared(self, altered_grid, synthetic_grid):
        tables = altered_grid("DELETE FROM similarity")
        assert tuple(figure(tables, "C-F4").domain) == synthetic_grid.TARGETS

    def test_from_scratch(self, grid_tables, synthetic_grid):
        (panel,) = figure(grid_tables, "C-F4", "hp-scratch").panels
        assert panel.title == "from random weights (the network of hp-mnist)"
        raw = Raw(grid_tables)
        for target in synthetic_grid.TARGETS:
            best = raw.best("hp-scratch", "hp-mnist", target, "elr")
            drawn = {row["elr"]: row for row in values(panel.drawing) if row["target"] == target}
            assert set(drawn) == {0.1, 0.3, 1.0, 3.0}
            for (elr,), own in best.items():
                assert drawn[elr]["error"] == pytest.approx(np.mean(own["errors"]), rel=1e-5)

    def test_an_arm_that_repeats_runs_changes_nothing(self, altered_grid):
        repeated = altered_grid("INSERT INTO arms SELECT * REPLACE ('again' AS arm, 9 AS position) "
                                "FROM arms WHERE study = 'hp-grid'")  # fmt: skip
        specs = [figure(tables, "C-F4").charts for tables in (altered_grid(), repeated)]
        assert specs[0] == specs[1]

    def test_ticks_are_the_rates_themselves(self, grid_tables):
        spec = figure(grid_tables, "C-F4").panels[0].drawing
        svg = vl_convert.vegalite_to_svg(spec | {"config": chart_config(LIGHT)})
        labels = set(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
        assert {"0.003", "0.01", "0.03", "0.1", "0.3", "1", "3"} <= labels


def test_equal_effective_rate(grid_tables, synthetic_grid):
    found = figure(grid_tables, "C-F3")
    assert found.domain == ["m = 0.9", "m = 0"]
    rows = values(found.charts[f"C-F3-{FROM_MNIST}"])
    raw = Raw(grid_tables)
    assert {row["elr"] for row in rows} == {0.03, 0.1, 0.3}
    assert len(rows) == len(synthetic_grid.TARGETS) * 3 * 2
    for row in rows:
        best = raw.best("hp-grid", "hp-mnist", row["target"], "elr", "momentum")
        own = best[row["elr"], float(row["momentum_label"].removeprefix("m = "))]
        assert row["error"] == pytest.approx(np.mean(own["errors"]), rel=1e-5)
    lines = {(row["target"], row["elr"]): row["line"] for row in rows}
    assert len(set(lines.values())) == len(lines)
    assert sorted(lines, key=lines.__getitem__)[:4] == [
        ("mnist-few", 0.03), ("mnist-few", 0.1), ("mnist-few", 0.3), ("digits-few", 0.03),
    ]  # fmt: skip


class TestTables:
    def errors(self, raw, source, target, momentum, rate, decay) -> list[float]:
        (own,) = (
            row["errors"]
            for row in raw.variants("hp-grid", source, target)
            if (row["momentum"], row["rate"], row["decay"]) == (momentum, rate, decay)
        )
        return own

    def test_datasets(self, grid_tables, synthetic_grid):
        (panel,) = figure(grid_tables, "C-T1").panels
        table = panel.drawing
        assert [row[0] for row in table.rows] == [
            *synthetic_grid.TARGETS, "mnist", "fashion-mnist", "mnist-low",
        ]  # fmt: skip
        assert table.columns == [
            "dataset", "classes", "training", "validation", "test", "used as", "changes",
        ]  # fmt: skip
        assert table.rows[2] == ["mnist-high", "5", "200", "200", "1,000", "target", "–"]
        assert table.rows[3][-1] == "rotate-180"
        assert table.rows[7][1:6] == ["10", "57,000", "3,000", "2,500", "source of hp-mnist"]

    def test_a_task_that_a_card_tells_is_shown(self, altered_grid):
        tables = altered_grid(
            """UPDATE datasets SET card = '{"task": "clothes"}' WHERE dataset = 'fashion-few'"""
        )
        table = figure(tables, "C-T1").panels[0].drawing
        assert table.columns[-2:] == ["task", "changes"]
        assert {row[0]: row[-2] for row in table.rows if row[-2] != "–"} == {
            "fashion-few": "clothes"
        }

    def test_eight_settings(self, grid_tables):
        (panel,) = figure(grid_tables, "C-T2").panels
        table, raw = panel.drawing, Raw(grid_tables)
        settings = list(product((0.9, 0.0), (0.01, 0.003), (0.005, 0.0)))
        assert [tuple(map(float, row[:3])) for row in table.rows] == settings
        errors = {
            (one, target): self.errors(raw, "hp-mnist", target, *one)
            for one in settings
            for target in table.columns[3:]
        }
        for i, one in enumerate(settings):
            for j, target in enumerate(table.columns[3:], 3):
                assert_error(table.rows[i][j], errors[one, target])
        means = {key: np.mean(own) for key, own in errors.items()}
        gains = [
            1 - np.mean([means[one, target] for one in settings[4:]])
            / np.mean([means[one, target] for one in settings[:4]])
            for target in table.columns[3:]
        ]  # fmt: skip
        assert gains == sorted(gains, reverse=True)
        assert len(set(gains)) == 7
        bold = {
            (min(lines, key=lambda i: means[settings[i], target]), j)
            for lines in (range(4), range(4, 8))
            for j, target in enumerate(table.columns[3:], 3)
        }
        assert table.marks == dict.fromkeys(bold, "best")

    def test_the_second_rate_is_the_next_lower_one_or_else_the_next_higher(self, altered_grid):
        tables = altered_grid("DELETE FROM arms WHERE recipe LIKE '%lr=0.003%'")
        table = figure(tables, "C-T2").panels[0].drawing
        assert {row[1] for row in table.rows} == {"0.01", "0.03"}
        tables = altered_grid(
            "UPDATE arms SET role = 'other'",
            "UPDATE arms SET role = 'baseline' "
            "WHERE recipe = 'fine-tune+lr=0.03+momentum=0.9+weight_decay=0.005'",
        )
        table = figure(tables, "C-T2").panels[0].drawing
        assert {row[1] for row in table.rows} == {"0.03", "0.01"}

    def test_a_variant_that_differs_in_more_is_not_among_the_settings(self, altered_grid):
        """Here a batch size; also, with it gone, its cells stay empty."""
        tables = altered_grid("UPDATE recipes SET batch_size = 7 "
                              "WHERE alpha = 0.003 AND momentum = 0")  # fmt: skip
        table = figure(tables, "C-T2").panels[0].drawing
        lines = {tuple(row[:3]): row[3:] for row in table.rows}
        assert set(lines["0", "0.003", "0"]) == {"–"}
        assert "–" not in lines["0.9", "0.003", "0"]

    def test_other_sources(self, grid_tables, synthetic_grid):
        (panel,) = figure(grid_tables, "C-T3").panels
        table, raw = panel.drawing, Raw(grid_tables)
        assert panel.title == "η = 0.01, λ = 0.005"
        lines = [(s, m) for s in ("hp-fashion", "hp-low") for m in ("0.9", "0")]
        assert [tuple(row[:2]) for row in table.rows] == lines
        assert tuple(table.columns[2:]) == synthetic_grid.TARGETS
        for i, (source, momentum) in enumerate(lines):
            for j, target in enumerate(synthetic_grid.TARGETS, 2):
                own = self.errors(raw, source, target, float(momentum), 0.01, 0.005)
                other = {"0": 0.9, "0.9": 0.0}[momentum]
                others = self.errors(raw, source, target, other, 0.01, 0.005)
                assert_error(table.rows[i][j], own)
                assert ((i, j) in table.marks) == (np.mean(own) < np.mean(others))

    def test_similarity_and_best_rate(self, grid_tables):
        panel = figure(grid_tables, "C-T4").panels[1]
        table, raw = panel.drawing, Raw(grid_tables)
        assert panel.title == "from hp-fashion"
        assert table.columns[3:] == ["similarity (hp-fashion@2)", "similarity (hp-mnist@2)"]
        own = {row["target"]: row["similarity"] for row in grid_tables.rows(
            "FROM similarity WHERE source = 'hp-fashion'")}  # fmt: skip
        others = {row["target"]: row["similarity"] for row in grid_tables.rows(
            "FROM extractor_similarity WHERE source = 'hp-fashion' AND extractor = 'hp-mnist@2'",
        )}  # fmt: skip
        assert [row[0] for row in table.rows] == sorted(own, key=lambda target: -own[target])
        for target, elr, error, mine, other in table.rows:
            best = raw.best("hp-grid", "hp-fashion", target, "elr")
            (chosen,) = max(best, key=lambda key: best[key]["val"])
            assert float(elr) == chosen
            assert_error(error, best[chosen,]["errors"])
            assert float(mine) == pytest.approx(own[target], abs=6e-4)
            assert float(other) == pytest.approx(others[target], abs=6e-4)
        ranks = [table.marks[i, 3] for i in range(7)]
        assert ranks == ["rank-1", "rank-2", "rank-3", "rank-4", "rank-0", "rank-0", "rank-0"]

    def test_other_networks_have_tables_of_their_own(self, grid_tables):
        (panel,) = figure(grid_tables, "C-T4", "hp-backbones").panels
        assert panel.drawing.columns[3:] == ["similarity (hp-mnist-wide@2)",
                                             "similarity (hp-mnist@2)"]  # fmt: skip

    def test_without_extractors_similarity_is_in_the_sources_own_features(self, altered_grid):
        tables = altered_grid("DELETE FROM extractor_similarity")
        columns = figure(tables, "C-T4").panels[2].drawing.columns
        assert columns[3:] == ["similarity (hp-low@2)"]


class TestLearningCurves:
    def test_mean_over_seeds(self, grid_tables):
        found = figure(grid_tables, "C-F9")
        assert found.domain == [f"η = {rate}" for rate in ("0.003", "0.01", "0.03", "0.1", "0.3")]
        assert len(found.panels) == 6 * 2
        (panel,) = (one for one in found.panels if one.title == "mnist-high, m = 0")
        rows = grid_tables.rows(
            "FROM validations JOIN recipes USING (recipe) WHERE source = 'hp-mnist' AND epoch = 2 "
            "AND target = 'mnist-high' AND momentum = 0 AND weight_decay = 0.005 AND alpha = 0.03 "
            "AND step = 75"
        )
        (point,) = (row for row in values(panel.drawing)
                    if row["step"] == 75 and row["line"] == "η = 0.03")  # fmt: skip
        errors = [1 - row["top1"] for row in rows]
        half = stats.t.ppf(0.975, 2) * np.std(errors, ddof=1) / np.sqrt(3)
        assert len(errors) == point["seeds"] == 3
        assert point["mean"] == pytest.approx(np.mean(errors), rel=1e-5)
        assert point["low"] == pytest.approx(np.mean(errors) - half, rel=1e-4)

    def test_the_most_similar_target_comes_first_and_alone(self, grid_tables):
        titles = [panel.title for panel in figure(grid_tables, "C-F8").panels]
        assert titles == ["mnist-few, m = 0.9", "mnist-few, m = 0"]

    def test_both_momenta_have_one_scale(self, grid_tables):
        left, right = (panel.drawing for panel in figure(grid_tables, "C-F8").panels)
        domains = [one["layer"][1]["encoding"]["y"]["scale"]["domain"] for one in (left, right)]
        assert domains[0] == domains[1]
        assert domains[0][1] >= max(row["mean"] for row in values(left) + values(right))


class TestLessThanAll:
    @pytest.mark.parametrize("id", [id for id in MAIN if id != "C-T1"])
    def test_no_runs_no_panels(self, altered_grid, id):
        assert figure(altered_grid("DELETE FROM runs"), id).panels == []

    def test_what_is_missing_is_told_in_a_sentence(self, altered_grid):
        tables = altered_grid(
            "DELETE FROM arms WHERE source IN ('hp-fashion', 'hp-low') OR role = 'scratch'",
        )
        figures = draw_figures(tables)
        empty = {(one.exhibit.id, one.study) for one in figures if not one.panels}
        assert empty == {("C-T3", "hp-grid"), ("C-F4", "hp-scratch")}
        drawn = [one for one in figures if one.panels]
        notes = " ".join(page_content(tables, drawn, [])["notes"])
        assert "The study has one source only" in notes
        assert len(figure(tables, "C-F4").panels) == 1

    def test_one_momentum_has_none_to_compare(self, altered_grid):
        tables = altered_grid("DELETE FROM arms WHERE recipe LIKE '%momentum=0+%'")
        assert figure(tables, "C-F3").panels == []
        (panel,) = figure(tables, "C-T2").panels
        assert {row[0] for row in panel.drawing.rows} <= {"0.9", "0"}

    def test_one_weight_decay_is_no_curve(self, altered_grid):
        tables = altered_grid("DELETE FROM arms WHERE recipe LIKE '%weight_decay=0'")
        assert figure(tables, "C-F5").panels == []

    def test_without_a_default_there_is_nothing_near_it(self, altered_grid):
        tables = altered_grid("UPDATE arms SET role = 'other'")
        for id in ("C-T2", "C-T3", "C-F8", "C-F9"):
            assert figure(tables, id).panels == []
        assert figure(tables, "C-F4").panels

    def test_a_target_without_similarity_has_a_dash(self, altered_grid):
        tables = altered_grid("DELETE FROM similarity WHERE target = 'digits-few'",
                              "DELETE FROM extractor_similarity")  # fmt: skip
        table = figure(tables, "C-T4").panels[0].drawing
        assert table.rows[-1][0] == "digits-few"
        assert table.rows[-1][3] == "–"
