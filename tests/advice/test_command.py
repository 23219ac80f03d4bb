"""`fastpipe advise` from a folder of images to printed advice, with a tiny source."""

import dataclasses
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from fastpipe.advice.collected import Knowledge
from fastpipe.advice.command import make_advice
from fastpipe.advice.evaluation import advice_rows
from fastpipe.advice.grid import GRID_QUERY
from fastpipe.advice.measuring import Measured, preparation, with_folder
from fastpipe.cli import HOME, main
from fastpipe.config.dataset import Dataset
from fastpipe.config.load import load
from fastpipe.config.names import WORK, Snapshot, dataset_folder, features_folder, study_folder
from fastpipe.config.plan import Plan
from fastpipe.config.source import Source
from fastpipe.config.yaml_text import read_yaml
from fastpipe.reporting.drawing.transferability import SCORES
from fastpipe.similarity.logme import logme
from fastpipe.workflow import configuration_files

CONFIG = """
datasets:
  tiny:
    providers: [{kind: sklearn, name: digits}]
    size: 8
    channels: 1
    train_per_class: 8
    test_per_class: 2
sources:
  src:
    dataset: tiny
    backbone: {name: small-cnn, widths: [4, 8]}
    epochs: 2
    snapshots: [0, 2]
    batch_size: 20
  unknown-to-all:
    dataset: tiny
    backbone: {name: small-cnn, widths: [4, 8]}
    epochs: 1
    snapshots: [0, 1]
recipes:
  tune: {alpha: 0.01, beta: 0.01, optimiser: nesterov}
studies:
  grid:
    title: A grid
    arms:
      default: {recipe: tune, role: baseline, snapshots: [src@last], targets: [tiny]}
"""

RELEASED = """
sources:
  given: {backbone: {name: resnet18}, library: torchvision}
"""

Run = Callable[..., tuple[int, str, str]]


def write_images(folder: Path, classes: dict[str, int]) -> Path:
    noise = np.random.default_rng(0)
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = noise.integers(0, 256, (11, 9), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with a configuration and what a study of it would have left."""
    folder = tmp_path_factory.mktemp("advise")
    (folder / "config").mkdir()
    (folder / "config" / "mine.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plan = Plan(load(configuration_files(HOME, [])))
        make_source(plan)
    return folder


def make_source(plan: Plan) -> None:
    from fastpipe.stages.features import FeaturesSpec, features
    from fastpipe.stages.prepare import PrepareSpec, prepare
    from fastpipe.stages.pretrain import PretrainSpec, pretrain

    job = plan.prepare("tiny")
    identity = {name[8:-5]: value for name, value in job.identities}
    prepare(
        PrepareSpec.model_validate_json(job.spec), out=job.folder, downloads=Path("downloads"),
        work=WORK, identity=identity,
    )  # fmt: skip
    start = None
    for epoch in (0.0, 2.0):
        job = plan.pretrain(Snapshot("src", epoch))
        pretrain(
            PretrainSpec.model_validate_json(job.spec), dataset=dataset_folder("tiny"),
            start=start, out=job.folder, work=WORK, identity=job.identity,
        )  # fmt: skip
        start = job.folder
    job = plan.features(Snapshot("src", 2.0), "tiny")
    features(
        FeaturesSpec.model_validate_json(job.spec), snapshot=start, dataset=dataset_folder("tiny"),
        out=job.folder, work=WORK, identity=job.identity,
    )  # fmt: skip


@pytest.fixture
def run(workplace, grid_study, monkeypatch, capsys) -> Run:
    """Run `fastpipe advise` where a grid from `src` has been collected."""
    monkeypatch.chdir(workplace)
    database = study_folder("grid") / "study.duckdb"
    database.parent.mkdir(parents=True, exist_ok=True)
    grid_study.write_grid_study(database)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fastpipe", "advise", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
            sys.exit(0)
        out, err = capsys.readouterr()
        return int(exited.value.code or 0), out, err

    return call


def test_a_folder_of_images(run, tmp_path, grid_study):
    images = write_images(tmp_path / "mine", {"ä b": 12, "c": 9})
    code, out, err = run("--source", "src", "--images", str(images), "--out", str(tmp_path / "out"))
    assert code == 0, err
    said = json.loads((tmp_path / "out" / "advice.json").read_text())
    assert f"Similarity to the source: {said['similarity']:.4f}" in out
    assert 0 < said["similarity"] < 1
    away = [abs(one["similarity"] - said["similarity"]) for one in said["references"]]
    assert away == sorted(away) and len(away) == len(grid_study.SIMILARITY)
    assert said["references"][0]["target"] in out
    highest = max(grid_study.SIMILARITY.values())
    assert ("this is an extrapolation" in out) == (said["similarity"] > highest)
    page = (tmp_path / "out" / "advice.html").read_text()
    assert "How did the references respond" in page and "Regret, in percentage points" in page

    # Nothing is computed twice, and the same images get the same advice.
    _, again, _ = run("--source", "src", "--images", str(images), "--out", str(tmp_path / "2"))
    assert again.count("done before") == 4
    assert json.loads((tmp_path / "2" / "advice.json").read_text()) == said


def test_scores_beside_those_of_the_references(run, workplace, tmp_path):
    with duckdb.connect(str(workplace / study_folder("grid") / "study.duckdb")) as database:
        for source, value in (("src", 0.25), ("other", 0.75)):
            database.execute(
                "INSERT INTO scores (source, epoch, target, score, value) "
                f"VALUES ('{source}', 2, 'a', 'knn', {value})"
            ).fetchall()
    images = write_images(tmp_path / "mine", {"a": 12, "b": 9})
    _, out, _ = run("--source", "src", "--images", str(images), "--out", str(tmp_path))
    advice = json.loads((tmp_path / "advice.json").read_text())
    said = {one["score"]: one for one in advice["scores"]}
    assert set(said) == set(SCORES) - {"similarity"}
    assert said["knn"]["references"] == {"a": 0.25} and said["logme"]["references"] == {}
    assert 0 <= said["knn"]["value"] <= 1
    features = load_file(
        features_folder(Snapshot("src", 2.0), advice["name"]) / "images.safetensors"
    )
    assert said["logme"]["value"] == pytest.approx(
        logme(features["train.features"], features["train.labels"])
    )
    (line,) = (line for line in out.splitlines() if line.strip().startswith("k-NN probe"))
    assert f"{said['knn']['value']:.3f}" in line
    assert "How well may the source serve your images?" in (tmp_path / "advice.html").read_text()


def test_images_are_prepared_as_the_sources_own(tmp_path):
    fields = {"size": 32, "channels": 1, "aspect": "keep", "view": 28, "margin": 2}
    provider = {"kind": "sklearn", "name": "digits"}
    own = Dataset(providers=(provider,), transforms=("rotate-180",), seed=3, **fields)
    source = Source(dataset="own", epochs=1, snapshots=(1,))
    config = dataclasses.replace(
        load(configuration_files(HOME, [])), datasets={"own": own}, sources={"src": source}
    )
    made, name = with_folder(config, "src", write_images(tmp_path, {"a": 1}), skip_corrupt=True)
    entry = made.datasets[name]
    assert {key: getattr(entry, key) for key in fields} == fields
    assert entry.transforms == () and entry.seed == 0 and entry.skip_corrupt
    assert preparation(made, name, "src").startswith(
        "Images are prepared as 32 × 32 pixels, of which networks see 28, grey, aspect keep, "
        "margin 2, as those of src.\n"
    )
    assert preparation(made, "own", None).endswith("margin 2, as own is declared.")


def test_the_recipe_is_that_of_the_nearest_reference(run, workplace, tmp_path):
    """Steps and batch size may differ from target to target."""
    with duckdb.connect(str(workplace / study_folder("grid") / "study.duckdb")) as database:
        for sql in (
            "INSERT INTO recipes SELECT * REPLACE (recipe || '+s' AS recipe, 77 AS steps) "
            "FROM recipes",
            *(f"UPDATE {table} SET recipe = recipe || '+s' WHERE target = 'c'"
              for table in ("arms", "runs")),
            "UPDATE similarity SET similarity = 0.9999 WHERE target = 'c'",
        ):  # fmt: skip
            database.execute(sql).fetchall()
    code, _, err = run("--source", "src", "--dataset", "tiny", "--out", str(tmp_path))
    assert code == 0, err
    said = json.loads((tmp_path / "advice.json").read_text())
    assert (said["references"][0]["target"], said["recipe"]["steps"]) == ("c", 77)


def test_regrets_have_no_part_in_choosing_the_rule(grid):
    """The falling line has lost less here, and the paper's rule is followed all the same."""
    recipes = {
        p.arm: {"alpha": p.elr * 0.1, "beta": p.elr * 0.1, "optimiser": "nesterov"}
        for p in grid.points
    }
    known = Knowledge("s", grid, (), recipes, [])
    advice = make_advice(known, "mine", "mine", "", Measured(0.73, {"knn": 0.5}))
    line, rule = (advice.regrets[name]["unseen"]["mean"] for name in ("regression", "nearest"))
    assert line < rule and advice.rule == "nearest"
    assert advice.recipe["alpha"] == pytest.approx(0.1 * grid.best_elrs()[4])


def test_rates_are_written_as_people_write_them(run, tmp_path):
    run("--source", "src", "--dataset", "tiny", "--out", str(tmp_path))
    text = (tmp_path / "advice.json").read_text()
    assert not re.search(r"\d\.\d*(0{7}|9{7})\d", text)


def test_the_recipe_can_be_pasted(run, tmp_path):
    images = write_images(tmp_path / "mine", {"a": 12, "b": 9})
    code, out, _ = run("--source", "src", "--images", str(images), "--out", str(tmp_path))
    said = json.loads((tmp_path / "advice.json").read_text())
    assert code == 0 and said["yaml"] in out
    (tmp_path / "recipe.yaml").write_text(said["yaml"])
    config = load([*configuration_files(HOME, []), tmp_path / "recipe.yaml"])
    recipe = config.recipes[said["name"]]
    point = said["predictions"][said["rule"]]["point"]
    grid = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
    nearest = min(grid, key=lambda elr: abs(np.log(elr / point)))
    assert recipe.alpha == recipe.beta
    assert recipe.alpha / (1 - recipe.momentum) == pytest.approx(nearest)
    assert (recipe.optimiser, recipe.steps) == ("nesterov", 150)


def rename_a_to_tiny(database: duckdb.DuckDBPyConnection) -> None:
    for table in ("arms", "similarity", "runs", "advice"):
        database.execute(f"UPDATE {table} SET target = 'tiny' WHERE target = 'a'").fetchall()


@pytest.mark.parametrize("change", ["val_top1 = 1 - val_top1", "final_top1 = 1 - final_top1"])
def test_nothing_of_a_left_out_target_is_known(run, workplace, tmp_path, change):
    """Neither the advice nor what it is said to be worth may depend on its accuracies."""
    written = []
    for changed in (False, True):
        with duckdb.connect(str(workplace / study_folder("grid") / "study.duckdb")) as database:
            if changed:
                database.execute(f"UPDATE runs SET {change} WHERE target = 'tiny'").fetchall()
            else:
                rename_a_to_tiny(database)
            rows = database.sql(GRID_QUERY).to_arrow_table().to_pylist()
            database.execute("DELETE FROM advice").fetchall()
            database.executemany(
                f"INSERT INTO advice VALUES ({', '.join('?' * 15)})",
                [list(row.values()) for row in advice_rows(rows)],
            )  # as `collect` would have filled it
        code, _, err = run("--source", "src", "--dataset", "tiny", "--out", str(tmp_path))
        assert code == 0, err
        written.append([(tmp_path / f"advice.{kind}").read_bytes() for kind in ("json", "html")])
    assert written[0] == written[1]


def test_a_reference_target_is_left_out(run, workplace):
    with duckdb.connect(str(workplace / study_folder("grid") / "study.duckdb")) as database:
        rename_a_to_tiny(database)
    code, out, err = run("--source", "src", "--dataset", "tiny")
    assert code == 0, err
    assert "tiny is a target of grid itself: it is left out" in out
    said = json.loads((workplace / "results/advice/tiny/advice.json").read_text())
    assert [one["target"] for one in said["references"]] == ["b", "c", "d", "e", "f"]
    assert said["similarity"] == pytest.approx(1.0)


class TestMistakes:
    def test_unknown_source(self, run, tmp_path):
        code, _, err = run("--source", "srk", "--images", str(tmp_path))
        assert code == 1 and "there is no source 'srk'" in err and "src" in err

    def test_unknown_study_and_dataset(self, run, tmp_path):
        code, _, err = run("--source", "src", "--images", str(tmp_path), "--study", "x")
        assert code == 1 and "there is no study 'x'" in err
        code, _, err = run("--source", "src", "--dataset", "tinny")
        assert code == 1 and "there is no dataset 'tinny'; did you mean 'tiny'?" in err

    def test_a_source_that_no_study_has_a_grid_from(self, run, tmp_path):
        code, _, err = run("--source", "unknown-to-all", "--images", str(tmp_path))
        assert code == 1 and "no collected study has a grid of learning rates" in err
        assert "sweep of `lr`" in err

    def test_which_study_to_run(self, run, tmp_path):
        code, _, err = run("--source", "hp-low", "--images", str(tmp_path))
        assert code == 1 and "snakemake hp-grid" in err

    def test_neither_images_nor_dataset(self, run):
        code, _, err = run("--source", "src")
        assert code == 1 and "either --images FOLDER or --dataset NAME" in err

    def test_corrupt_images_of_a_declared_dataset(self, run):
        code, _, err = run("--source", "src", "--dataset", "tiny", "--skip-corrupt")
        assert code == 1 and "set `skip_corrupt: true` in the dataset tiny" in err

    def test_folders_that_will_not_do(self, run, tmp_path):
        code, _, err = run("--source", "src", "--images", str(tmp_path / "none"))
        assert code == 1 and "is no folder" in err
        (tmp_path / "empty").mkdir()
        code, _, err = run("--source", "src", "--images", str(tmp_path / "empty"))
        assert code == 1 and "is empty of classes" in err
        one = write_images(tmp_path / "one", {"a": 9})
        code, _, err = run("--source", "src", "--images", str(one))
        assert code == 1 and "class" in err and "two" in err.lower()

    def test_a_corrupt_image(self, run, tmp_path):
        images = write_images(tmp_path / "mine", {"a": 9, "b": 9})
        (images / "a" / "broken.png").write_bytes(b"no image")
        code, _, err = run("--source", "src", "--images", str(images))
        assert code == 1 and "broken.png" in err
        assert "Mend or remove them, or give --skip-corrupt to leave them out." in err
        code, out, err = run("--source", "src", "--images", str(images), "--skip-corrupt")
        assert code == 0 and "Recommended recipe" in out

    def test_a_source_whose_images_are_not_known(self, run, workplace, tmp_path):
        (workplace / "released.yaml").write_text(RELEASED)
        more = ("--configfile", str(workplace / "released.yaml"))
        code, _, err = run("--source", "given", "--images", str(tmp_path), *more)
        assert code == 1 and "source given has no `dataset`" in err
        assert "name that as the `dataset` of given" in err and "Declare a study" not in err

    def test_a_database_that_is_none(self, run, workplace, tmp_path):
        (workplace / study_folder("grid") / "study.duckdb").write_bytes(b"no database at all")
        code, _, err = run("--source", "src", "--images", str(tmp_path))
        assert code == 1 and "cannot open results/studies/grid/study.duckdb" in err
        assert "Delete it and run snakemake again" in err

    def test_results_that_are_out_of_date(self, run, workplace, tmp_path):
        images = write_images(tmp_path / "mine", {"a": 9, "b": 9})
        changed = workplace / "changed.yaml"
        changed.write_text("sources: {src: {batch_size: 10}}")
        code, _, err = run("--source", "src", "--images", str(images), "--configfile", str(changed))
        assert code == 1 and "is stale" in err and "Run snakemake grid again" in err


def test_yaml_reads_back_as_written(run, tmp_path):
    images = write_images(tmp_path / "mine", {"a": 12, "b": 9})
    run("--source", "src", "--images", str(images), "--out", str(tmp_path))
    said = json.loads((tmp_path / "advice.json").read_text())
    path = tmp_path / "r.yaml"
    path.write_text(said["yaml"])
    assert read_yaml(path).data == {"recipes": {said["name"]: said["recipe"]}}
