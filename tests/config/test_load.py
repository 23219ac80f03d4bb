# ruff: noqa: E501 (a table: one case a line)
from collections.abc import Callable
from pathlib import Path

import pytest

from fastpipe.config.config import Config
from fastpipe.config.dataset import PackageProvider, SklearnProvider
from fastpipe.config.load import load, yaml_files
from fastpipe.config.problems import ConfigurationError

Make = Callable[..., Config]
Problems = Callable[..., list[str]]


def test_a_valid_configuration_is_read(config: Make) -> None:
    read = config()
    assert read.datasets["near"].providers == (SklearnProvider(kind="sklearn", name="digits"),)
    assert read.sources["net"].snapshots == (0.0, 0.5, 2.0)
    assert read.recipes["fast"].beta == 0.001
    assert read.recipes["plain"].beta == 0.01
    assert read.studies["demo"].arms["first"].snapshots == ("net@last",)


def test_yaml_files_are_found_below_a_folder_in_order(tmp_path: Path) -> None:
    for name in ("b.yaml", "a/z.yaml", "a.yaml", "schema.json", "c.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert yaml_files(tmp_path) == [tmp_path / name for name in ("a/z.yaml", "a.yaml", "b.yaml")]
    assert yaml_files(tmp_path / "none") == []


# --- merging ------------------------------------------------------------------------------------


def test_mappings_are_merged_by_key_and_anything_else_replaced(config: Make) -> None:
    read = config(
        "datasets: {own: {sha256: {a: '"
        + "0" * 64
        + "'}, classes: ['1', '2'], train_per_class: 9}}",
        "datasets: {own: {sha256: {b: '" + "1" * 64 + "'}, classes: ['3'], train_per_class: null}}",
    )
    assert set(read.datasets["own"].sha256) == {"a", "b"}
    assert read.datasets["own"].classes == ("3",)
    assert read.datasets["own"].train_per_class is None
    assert read.datasets["own"].size == 28


def test_a_later_file_wins_and_may_change_a_part_of_an_arm(config: Make) -> None:
    read = config(
        "recipes: {fast: {alpha: 0.2}}\nstudies: {demo: {arms: {first: {seeds: 2}}}}",
        "recipes: {fast: {alpha: 0.3}}\nstudies: {demo: {arms: {first: {recipe: fast}}}}",
    )
    assert (read.recipes["fast"].alpha, read.recipes["fast"].beta) == (0.3, 0.001)
    arm = read.studies["demo"].arms["first"]
    assert (arm.recipe, arm.seeds, arm.targets) == ("fast", 2, ("near",))


def test_a_list_is_replaced_as_a_whole(config: Make) -> None:
    read = config("datasets: {near: {providers: [{kind: packages, registry: npm, package: x}]}}")
    assert read.datasets["near"].providers == (
        PackageProvider(kind="packages", registry="npm", package="x"),
    )


@pytest.mark.parametrize("text", ["", "recipes:", "settings:\nstudies: ~\n# recipes: {}"])
def test_a_section_without_a_value_changes_nothing(config: Make, text: str) -> None:
    assert config(text) == config()


# --- problems -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("recipe: {}", "1:1: recipe: unknown section; did you mean 'recipes'?"),
        ("recipes: {fast: {head_sgima: 1}}", "1:18: recipes.fast.head_sgima: unknown key; did you mean 'head_sigma'?"),
        ("recipes: {fast: {learning: 1}}", "1:18: recipes.fast.learning: unknown key; valid: alpha, batch_size, batches, "),
        ("recipes: {fast: {Alpha: 1}}", "1:18: recipes.fast.Alpha: unknown key; did you mean 'alpha'?"),
        ("settings: {compute: {treads: 1}}", "1:22: settings.compute.treads: unknown key; did you mean 'threads'?"),
        ("sources: {net: {backbone: {width: [4]}}}", "1:28: sources.net.backbone.width: unknown key; did you mean 'widths'?"),
        ("studies: {demo: {arms: {first: {target: [near]}}}}", "1:33: studies.demo.arms.first.target: unknown key; did you mean 'targets'?"),
        ("studies: {demo: {scales: {demo: {seed: 1}}}}", "1:34: studies.demo.scales.demo.seed: unknown key; did you mean 'seeds'?"),
        # Only keys of the provider's own kind are suggested: `packages` has one named `package`.
        (
            "datasets: {near: {providers: [{kind: folder, path: x, pact: y}]}}",
            "1:55: datasets.near.providers.0.pact: unknown key; did you mean 'path'?",
        ),
        (
            "datasets:\n  near:\n    providers:\n    - {kind: sklearn, name: digits}\n    - {kind: folder}",
            "5:7: datasets.near.providers.1.path: is missing",
        ),
        ("datasets: {near: {providers: [{kind: folder, path: 3}]}}", "1:46: datasets.near.providers.0.path: must be text (put it in quotes); found 3"),
        ("datasets: {near: {providers: [{kind: fodler}]}}", "1:32: datasets.near.providers.0.kind: 'fodler' is not allowed; did you mean 'folder'?"),
        ("datasets: {near: {providers: [{kid: folder}]}}", "1:31: datasets.near.providers.0: 'kind' is missing (you wrote 'kid'); valid: folder, packages, sklearn, torchvision"),
        ("datasets: {near: {providers: [digits]}}", "1:31: datasets.near.providers.0: must be a mapping of keys to values; found 'digits'"),
        ("datasets: {near: {providers: []}}", "1:19: datasets.near.providers: must not be empty; found []"),
        ("datasets: {near: {providers: {kind: sklearn}}}", "1:19: datasets.near.providers: must be a list; found {'kind': 'sklearn'}"),
        ("datasets: {near: {channels: 2}}", "1:19: datasets.near.channels: 2 is not allowed; valid: 1, 3"),
        ("datasets: {near: {classes: ['a', 0]}}", "1:34: datasets.near.classes.1: must be text (put it in quotes); found 0"),
        ("sources: {net: {dataset: [own]}}", "1:17: sources.net.dataset: must be text; found ['own']"),
        ("datasets: {near: {validation: 1.5}}", "1:19: datasets.near.validation: must be less than 1; found 1.5"),
        ("datasets: {near: {validation: .nan}}", "1:19: datasets.near.validation: must be a finite number; found nan"),
        ("datasets: {near: {validation: 5%}}", "1:19: datasets.near.validation: must be a number; found '5%'"),
        ("datasets: {near: {skip_corrupt: yes}}", "1:19: datasets.near.skip_corrupt: must be true or false; found 'yes'"),
        ("datasets: {near: {sha256: {a: abc}}}", "1:28: datasets.near.sha256.a: string should match pattern"),
        ("datasets: {near: }", "1:12: datasets.near: must be a mapping of keys to values; found nothing"),
        ("datasets: {new: {size: 28}}", "1:12: datasets.new.providers: is missing"),
        ("recipes: {fast: {steps: 1e3}}", "1:18: recipes.fast.steps: must be a whole number; found 1000.0"),
        ("recipes: {fast: {steps: true}}", "1:18: recipes.fast.steps: must be a whole number; found True"),
        ("recipes: {fast: {alpha: '1e-3'}}", "1:18: recipes.fast.alpha: must be a number; found '1e-3'"),
        ("recipes: {fast: {alpha: -1}}", "1:18: recipes.fast.alpha: must be greater than or equal to 0; found -1"),
        ("recipes: {fast: {alpha: [0.1, 1]}}", "1:18: recipes.fast.alpha: must be a number; found [0.1, 1]"),
        ("recipes: {fast: {optimiser: sdg}}", "1:18: recipes.fast.optimiser: 'sdg' is not allowed; did you mean 'sgd'?"),
        ("recipes: {fast: {flip: maybe}}", "1:18: recipes.fast.flip: must be true or false; found 'maybe'"),
        ("recipes: {a b: {}}", "1:11: recipes.a b: is not allowed as a name: at most 64 letters"),
        ("recipes: {../x: {}}", "1:11: recipes.../x: is not allowed as a name"),
        ("recipes: {-rf: {}}", "1:11: recipes.-rf: is not allowed as a name"),
        ("recipes: {x.: {}}", "1:11: recipes.x.: is not allowed as a name"),
        ("recipes: {a@b: {}}", "1:11: recipes.a@b: is not allowed as a name"),
        ("recipes: {💥: {}}", "1:11: recipes.💥: is not allowed as a name"),
        ("studies: {demo: {arms: {a+b: {recipe: fast, snapshots: [net@0], targets: [near]}}}}", "1:25: studies.demo.arms.a+b: is not allowed as a name"),
        ("studies: {demo: {arms: {first: {overrides: {alpha: null}}}}}", "1:45: studies.demo.arms.first.overrides.alpha: must be true or false, a number, text or a list of these; found nothing"),
        ("sources: {other: {library: torch}}", "1:19: sources.other.library: 'torch' is not allowed; did you mean 'torchvision'?"),
        ("studies: {demo: {arms: {first: {overrides: {alpha: [1, [[2]]]}}}}}", "1:45: studies.demo.arms.first.overrides.alpha: must be true or false, a number, text or a list of these; found [1, [[2]]]"),
        ("studies: {demo: {arms: {first: {overrides: {alpha: [1, [2]]}}}}}", "1:45: studies.demo.arms.first.overrides.alpha: must be a number; found [2]"),
        ("studies: {demo: {arms: {first: {snapshots: net@last}}}}", "1:33: studies.demo.arms.first.snapshots: must be a list; found 'net@last'"),
        ("settings: [1]", "1:1: settings: must be a mapping of keys to values; found [1]"),
        ("recipes: [fast]", "1:1: recipes: must be a mapping from names to entries, not ['fast']"),
        ("recipes: 0", "1:1: recipes: must be a mapping from names to entries, not 0"),
        ("[recipes]", "1:1: must be a mapping with sections as keys; valid: settings, datasets, sources, recipes, studies"),
        ("false", "1:1: must be a mapping with sections as keys"),
        ("recipes", "1:1: must be a mapping with sections as keys"),
        ("a: b: c", "1:5: is not valid YAML: mapping values are not allowed here"),
    ],
)  # fmt: skip
def test_a_problem_tells_place_key_value_and_remedy(
    problems: Problems, text: str, problem: str
) -> None:
    (found,) = problems(text)
    assert found.startswith(f"1.yaml:{problem}")


def test_all_problems_are_told_at_once_each_at_the_file_that_wrote_the_value(
    problems: Problems,
) -> None:
    assert problems(
        "recipes:\n  fast:\n    alpha: x\n    alpha: y\n  new: {steps: 0}",
        "sources:\n  net: {dataset: owl, epochs: -1}",
        "recipes: {new: {batch_size: 1}}\nstudies: {demo: {titel: T, arms: {first: {recipe: fats}}}}",
    ) == [
        "1.yaml:3:5: recipes.fast.alpha: must be a number; found 'x'",
        "1.yaml:4:5: recipes.fast.alpha: appears twice; the first is on line 3",
        "1.yaml:5:9: recipes.new.steps: must be greater than or equal to 1; found 0",
        "2.yaml:2:23: sources.net.epochs: must be greater than or equal to 0; found -1",
        "3.yaml:1:17: recipes.new.batch_size: must be greater than or equal to 2; found 1",
        "3.yaml:2:18: studies.demo.titel: unknown key; did you mean 'title'?",
        "3.yaml:2:43: studies.demo.arms.first.recipe: there is no entry 'fats' in recipes; "
        "did you mean 'fast'?",
    ]


@pytest.mark.fault(26)
def test_unknown_keys_of_a_study_hide_nothing_else_in_it(problems: Problems) -> None:
    assert problems(
        "studies: {demo: {titel: T, claims: [A99], arms: {first: {rol: fast, targets: [nar]}}}}",
        "studies: {new: {title: T, armz: {first: {}}}}",
    ) == [
        "1.yaml:1:18: studies.demo.titel: unknown key; did you mean 'title'?",
        "1.yaml:1:37: studies.demo.claims.0: unknown claim 'A99'; did you mean 'A9'?",
        "1.yaml:1:58: studies.demo.arms.first.rol: unknown key; did you mean 'role'?",
        "1.yaml:1:79: studies.demo.arms.first.targets.0: there is no entry 'nar' in datasets; "
        "did you mean 'near'?",
        "2.yaml:1:27: studies.new.armz: unknown key; did you mean 'arms'?",
    ]


@pytest.mark.fault(26)
def test_an_unreadable_file_hides_no_problem_of_the_others(problems: Problems) -> None:
    first, second, third = problems(
        "recipes:\n\tnew: {}",
        "datasets: {near: {margin: 14}}",
        "studies: {demo: {claims: [A77], arms: {first: {recipe: new}}}}",
    )
    assert "is not valid YAML" in first
    assert "a margin of 14 px leaves nothing" in second
    assert "unknown claim 'A77'" in third


def test_problems_within_and_between_entries_are_told_together(problems: Problems) -> None:
    assert problems(
        "datasets: {near: {size: big}}\nrecipes: {odd: {alpha: 0, beta: 0}}",
        "sources: {net: {dataset: owm}}",
    ) == [
        "1.yaml:1:19: datasets.near.size: must be a whole number; found 'big'",
        "1.yaml:2:27: recipes.odd.beta: alpha and beta are both 0, so nothing would be trained",
        "2.yaml:1:17: sources.net.dataset: there is no entry 'owm' in datasets; did you mean 'own'?",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "broken",
    [
        "recipes: {plain: {steps: x}}",
        "datasets: {near: {sise: 28}}",
        "datasets: {own: {size: 2}}",
        "sources: {net: {dataset: 3}}",
        "settings: {default_study: 3}",
        "studies: {demo: {seeds: 0}}",
    ],
)
def test_entries_that_use_a_broken_one_are_not_blamed(problems: Problems, broken: str) -> None:
    assert len(problems(broken)) == 1


def test_entries_of_an_unreadable_file_are_not_missed(problems: Problems) -> None:
    (found,) = problems("recipes:\n\tnew: {}", "studies: {demo: {arms: {first: {recipe: new}}}}")
    assert "is not valid YAML" in found


def test_no_configuration_at_all_is_a_problem(tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.touch()
    for paths in ([], [empty]):
        with pytest.raises(ConfigurationError, match="studies: there is no study; declare one"):
            load(paths)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load([tmp_path / "missing.yaml", tmp_path])
    assert str(raised.value) == (
        "The configuration has 2 problems:\n"
        f"  {tmp_path}: cannot be read: Is a directory\n"
        f"  {tmp_path}/missing.yaml: cannot be read: No such file or directory"
    )


def test_long_values_are_cut(problems: Problems) -> None:
    (found,) = problems(f"recipes: {{fast: {{alpha: {'x' * 500}}}}}")
    assert len(found) < 160
    assert found.endswith("…")


SMALL = """\
datasets: {near: {providers: [{kind: sklearn, name: digits}], size: 28, channels: 1}}
sources: {net: {dataset: near, snapshots: [1]}}
recipes:
  fast: {alpha: 0.1}
studies: {demo: {title: T, arms: {a: {recipe: fast, snapshots: [net@1], targets: [near]}}}}
"""


def one_folder(tmp_path: Path, *texts: str) -> list[Path]:
    paths = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def test_two_files_of_one_folder_that_set_a_key_differently_are_named(tmp_path: Path) -> None:
    files = one_folder(tmp_path, SMALL, "recipes:\n  plain: {}\n  fast: {alpha: 0.2}\n")
    with pytest.raises(ConfigurationError) as caught:
        load([files])
    assert str(caught.value) == (
        "The configuration has 1 problem:\n"
        f"  {tmp_path}/1.yaml:3:10: recipes.fast.alpha: set twice in one folder: 0.2 here, 0.1 in "
        f"{tmp_path}/0.yaml:4:10"
    )


def test_two_files_of_one_folder_may_agree_and_add(tmp_path: Path) -> None:
    files = one_folder(tmp_path, SMALL, "recipes: {fast: {alpha: 0.1, steps: 7}}\nsources:\n")
    assert load([files]).recipes["fast"].steps == 7


def test_another_folder_or_file_overrides_still(tmp_path: Path) -> None:
    shipped, own = one_folder(tmp_path, SMALL, "recipes: {fast: {alpha: 0.2}}")
    assert load([[shipped], [own]]).recipes["fast"].alpha == 0.2
    assert load([[shipped], own]).recipes["fast"].alpha == 0.2
