"""Exhibits of the hyperparameters paper's studies: numbers against literal ones from the rows."""

import importlib.util
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import vl_convert
from scipy import stats

from fastpipe.reporting.charts import Figure, draw_figures
from fastpipe.reporting.drawing.registry import EXHIBITS
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.numbers import plus_minus
from fastpipe.reporting.tables import Tables
from fastpipe.reporting.theme import LIGHT, chart_config


def _synthetic() -> ModuleType:
    path = Path(__file__).with_name("synthetic_tuning.py")
    spec = importlib.util.spec_from_file_location("synthetic_tuning", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


INVENTED = _synthetic()
STUDY_OF = {id: study for study, ids in INVENTED.STUDIES.items() for id in ids if id[0] == "C"}
PAIR = ("source", "epoch", "target")
FLAT = ("alpha", "momentum", "lambda", "batch_size", "crop", "colour_jitter", "bn_momentum",
        "regulariser", "head_weight_decay", "elr")  # fmt: skip


@pytest.fixture(scope="session")
def collected_tuning(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("invented-tuning") / "tuning" / "study.duckdb"
    path.parent.mkdir()
    INVENTED.write_tuning_database(path)
    return path


@pytest.fixture
def altered_tuning(altering, collected_tuning, tmp_path) -> Iterator[Callable[..., Tables]]:
    """Open copies of the database after running statements on them."""
    yield from altering(collected_tuning, tmp_path)


@pytest.fixture
def tuning(altered_tuning) -> Tables:
    return altered_tuning()


def figure(tables, id: str) -> Figure:
    (found,) = draw_figures(tables, {id: EXHIBITS[id]})
    return found


def data(panel) -> list[dict]:
    spec = panel.drawing
    return max(spec["datasets"].values(), key=len) if "datasets" in spec else spec["data"]["values"]


def runs(tables, study: str) -> list[dict]:
    """Runs of a study's own arms, with the fields of their recipes; joined by hand."""
    recipes = {row["recipe"]: row for row in tables.rows("FROM recipes")}
    own = {tuple(row[name] for name in (*PAIR, "recipe")): row["role"]
           for row in tables.rows("FROM arms") if row["study"] == study}  # fmt: skip
    return [
        row | {name: recipes[row["recipe"]][name] for name in FLAT} | {"role": own[key]}
        for row in tables.rows("FROM runs")
        if (key := tuple(row[name] for name in (*PAIR, "recipe"))) in own
    ]


def best(rows: list[dict]) -> list[dict]:
    """The runs of the recipe with the best mean validation accuracy."""
    by_recipe = defaultdict(list)
    for row in rows:
        by_recipe[row["recipe"]].append(row)
    return max(by_recipe.values(), key=lambda own: np.mean([row["val_top1"] for row in own]))


def errors(rows: list[dict], name: str = "final_top1") -> tuple[float, float]:
    """Mean error and half the 95 % interval."""
    values = [1 - row[name] for row in rows]
    assert len(values) == len(INVENTED.SEEDS)
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return np.mean(values), half


def cell(rows: list[dict], name: str = "final_top1") -> str:
    return plus_minus(*errors(rows, name), "percent")


@pytest.mark.parametrize("id", STUDY_OF)
class TestEach:
    def test_renders(self, tuning, id, capfd):
        found = figure(tuning, id)
        assert found.study == STUDY_OF[id]
        assert found.panels
        for spec in list(found.charts.values())[:3]:
            svg = vl_convert.vegalite_to_svg(spec | {"config": chart_config(LIGHT)})
            assert "NaN" not in svg and "undefined" not in svg
        assert "WARN" not in "".join(capfd.readouterr())

    def test_nothing_to_show_is_nothing_shown(self, altered_tuning, id):
        empty = ("runs", "steps", "validations", "dynamics", "snapshots", "arms")
        tables = altered_tuning(*(f"DELETE FROM {table}" for table in empty))
        assert bool(figure(tables, id).panels) == (id == "C-F2")  # which needs no runs
        assert EXHIBITS[id].absent.endswith(".")

    def test_test_accuracy_chooses_nothing(self, tuning, altered_tuning, id):
        """Other test results change the numbers shown and no setting."""
        other = altered_tuning("UPDATE runs SET final_top1 = 1 - final_top1 / 2, "
                               "balanced_accuracy = 1 - balanced_accuracy / 2")  # fmt: skip
        kept = ("alpha", "momentum", "lambda", "target", "start", "settings", "method", "detail")
        for before, after in zip(figure(tuning, id).panels, figure(other, id).panels, strict=True):
            rows = [one.drawing.values if isinstance(one.drawing, Table) else data(one)
                    for one in (before, after)]  # fmt: skip
            chosen = [[{k: r[k] for k in kept if k in r} for r in own] for own in rows]
            assert chosen[0] == chosen[1]


def test_lines_of_momenta(tuning):
    rows = runs(tuning, "hp-momentum")
    panels = {panel.id: panel for panel in figure(tuning, "C-F1").panels}
    assert sorted(panels) == ["C-F1-mnist-turned-a-10-0.03", "C-F1-mnist-turned-a-50-0.03",
                              "C-F1-mnist-turned-b-50-0.001"]  # fmt: skip
    for size in (10, 50):
        drawn = data(panels[f"C-F1-mnist-turned-a-{size}-0.03"])
        assert len(drawn) == 15
        for point in drawn:
            own = [row for row in rows if row["batch_size"] == size
                   and row["momentum"] == point["setting"]
                   and f"λ = {row['lambda']:g}" == point["line"]]  # fmt: skip
            mean, half = errors(own)
            assert point["mean"] == pytest.approx(mean, rel=1e-5)
            assert point["high"] == pytest.approx(mean + half, rel=1e-5)
            assert point["at"] == pytest.approx(1 / (1 - point["setting"]), rel=1e-5)


def test_learning_rates_come_from_the_grid_of_the_same_pair(tuning):
    rows = [row for row in runs(tuning, "hp-grid")
            if (row["source"], row["target"], row["lambda"])
            == ("hp-mnist", "mnist-turned", 0.001)]  # fmt: skip
    (panel,) = [one for one in figure(tuning, "C-F1").panels if "-b-" in one.id]
    assert len(data(panel)) == 10
    for point in data(panel):
        own = [row for row in rows if row["alpha"] == point["setting"]
               and f"m = {row['momentum']:g}" == point["line"]]  # fmt: skip
        assert point["mean"] == pytest.approx(errors(own)[0], rel=1e-5)


def test_curves_of_momenta(tuning):
    panels = {panel.id: panel for panel in figure(tuning, "C-F7").panels}
    assert len(panels) == 6
    drawn = data(panels["C-F7-mnist-turned-50-0.001-0.03"])
    (recipe,) = {row["recipe"] for row in runs(tuning, "hp-momentum") if row["momentum"] == 0.8
                 and row["lambda"] == 0.001 and row["batch_size"] == 50}  # fmt: skip
    checked = [row for row in tuning.rows("FROM validations") if row["recipe"] == recipe]
    losses = [row for row in tuning.rows("FROM steps") if row["recipe"] == recipe]
    points = sorted({row["step"] for row in checked})
    for before, step in zip([0, *points], points, strict=False):
        point = {row["measure"]: row for row in drawn
                 if row["line"] == "m = 0.8" and row["step"] == step}  # fmt: skip
        wrong = [1 - row["top1"] for row in checked if row["step"] == step]
        assert point["error"]["mean"] == pytest.approx(np.mean(wrong), rel=1e-5)
        own = [np.mean([row["loss"] for row in losses if row["seed"] == seed
                        and before < row["step"] <= step]) for seed in INVENTED.SEEDS]  # fmt: skip
        assert point["loss"]["mean"] == pytest.approx(np.mean(own), rel=1e-5)


def test_tuned_regularisers(tuning):
    rows = runs(tuning, "hp-regularisers")
    (table,) = figure(tuning, "C-T5").tables.values()
    assert table.columns == ["regulariser", *INVENTED.TARGETS]
    assert [row[0] for row in table.rows] == ["L2", "L2: η, λ", "L2-SP", "L2-SP: η, λ1"]
    for line, kind in ((0, "l2"), (2, "l2-sp")):
        for column, target in enumerate(INVENTED.TARGETS, 1):
            own = best([r for r in rows if (r["target"], r["regulariser"]) == (target, kind)])
            assert table.rows[line][column] == cell(own, "balanced_accuracy")
            text = f"{own[0]['alpha']:g}, {own[0]['lambda']:g}"
            assert table.rows[line + 1][column] == text


def test_normalised_terms(tuning):
    rows = runs(tuning, "hp-regularisers")
    looked = {(*(r[n] for n in PAIR), r["recipe"], r["seed"], r["step"]): r
              for r in tuning.rows("FROM dynamics")}  # fmt: skip
    heads = {(*(r[n] for n in PAIR), r["recipe"], r["seed"], r["step"]): r["head_norm"]
             for r in tuning.rows("FROM steps")}  # fmt: skip
    for panel, kind in zip(figure(tuning, "C-F6").panels, ("l2", "l2-sp"), strict=True):
        for target in INVENTED.TARGETS:
            own = best([r for r in rows if (r["target"], r["regulariser"]) == (target, kind)])
            first_step = min(key[-1] for key in looked if key[3] == own[0]["recipe"])
            for step in (6, 60, 120):
                ratios = []
                for run in own:
                    key = (*(run[name] for name in PAIR), run["recipe"], run["seed"])
                    now, head = looked[*key, step], heads[*key, step]
                    if kind == "l2":
                        first = (
                            looked[*key, first_step]["body_norm"] ** 2
                            + heads[*key, first_step] ** 2
                        )
                        ratios.append((now["body_norm"] ** 2 + head**2) / first)
                    else:
                        term = run["lambda"] * now["body_distance"] ** 2 + 0.01 * head**2
                        ratios.append(term / (0.01 * heads[*key, 0] ** 2))
                (point,) = [r for r in data(panel) if (r["line"], r["step"]) == (target, step)]
                assert point["mean"] == pytest.approx(np.mean(ratios), rel=1e-5)


def test_lines_of_batchnorm(tuning):
    rows = runs(tuning, "hp-batchnorm")
    (panel,) = figure(tuning, "C-F10").panels
    assert len(data(panel)) == 4 * 7
    for point in data(panel):
        own = [
            row
            for row in rows
            if (row["bn_momentum"], row["target"]) == (point["setting"], point["line"])
        ]
        assert point["mean"] == pytest.approx(errors(own)[0], rel=1e-5)


def test_table_of_policies(tuning):
    rows = runs(tuning, "hp-augmentation")
    (table,) = figure(tuning, "C-T6").tables.values()
    assert table.columns == ["images", "m", "η", *INVENTED.TARGETS]
    crops = {"resized crop, jitter": "resized", "random crop": "random", "as they are": "none"}
    assert len(table.rows) == 12
    for policy, momentum, rate, *cells in table.rows:
        for target, text in zip(INVENTED.TARGETS, cells, strict=True):
            setting = (crops[policy], float(momentum), float(rate), target)
            own = [row for row in rows if setting
                   == (row["crop"], row["momentum"], row["alpha"], row["target"])]  # fmt: skip
            assert text == cell(own)


def test_curves_of_policies_at_the_ends_and_between(tuning, altered_tuning):
    ends = {panel.title for panel in figure(tuning, "C-F11").panels}
    assert ends == {f"{target}: m = {m}, η = 0.03" for m in ("0.9", "0")
                    for target in ("mnist-few", "fashion-turned")}  # fmt: skip
    between = {panel.title for panel in figure(tuning, "C-F12").panels}
    assert len(between) == 10 and not ends & between
    unknown = altered_tuning("DELETE FROM similarity")
    assert figure(unknown, "C-F11").panels == []
    assert len(figure(unknown, "C-F12").panels) == 14


def test_sources(tuning):
    (table,) = figure(tuning, "C-T7").tables.values()
    assert table.rows == [["hp-mnist", "mnist", "10", "2", "1.5"],
                          ["hp-fashion", "mnist", "10", "2", "10.0"],
                          ["hp-low", "mnist", "10", "2", "1.0"]]  # fmt: skip


def test_default_and_tuned(tuning):
    grid, scratch = runs(tuning, "hp-grid"), runs(tuning, "hp-scratch")
    (table,) = figure(tuning, "C-T8").tables.values()
    assert table.columns == ["settings", "start", *INVENTED.TARGETS]
    sources = ["hp-mnist", "hp-fashion", "hp-low"]
    starts = [*(f"from {source}" for source in sources), "from scratch"]
    expected = [[settings, start] for settings in ("default", "tuned") for start in starts]
    assert [list(row[:2]) for row in table.rows] == expected
    for settings, start, *cells in table.rows:
        for target, text in zip(INVENTED.TARGETS, cells, strict=True):
            own = [
                row
                for row in (scratch if start == "from scratch" else grid)
                if row["target"] == target and start in ("from scratch", f"from {row['source']}")
            ]
            default = {"alpha": 0.1, "lambda": 0.001, "momentum": 0.9} if own[0]["epoch"] == 0 \
                else {"alpha": 0.03, "lambda": 0.001, "momentum": 0.9}  # fmt: skip
            if settings == "tuned":
                own = best(own)
            else:
                own = [row for row in own if all(row[k] == v for k, v in default.items())]
            assert text == cell(own)


def test_curves_from_scratch(tuning):
    panels = figure(tuning, "C-F13").panels
    assert len(panels) == 14
    assert {row["line"] for row in data(panels[0])} == {"η = 0.03", "η = 0.1", "η = 0.3",
                                                       "η = 1"}  # fmt: skip
    assert {row["step"] for row in data(panels[0])} == {12 * k for k in range(1, 21)}
