from collections.abc import Callable

import pytest

from fastpipe.config.config import Config
from fastpipe.config.expansion import (
    Runs,
    invalid_values,
    parse_snapshot,
    runs_of,
    study_targets,
    values_of,
    variants,
)
from fastpipe.config.names import Snapshot
from fastpipe.config.recipe import Recipe

Make = Callable[..., Config]
PLAIN = Recipe()


def runs(config: Config, target: str = "demo") -> list[Runs]:
    return runs_of(config, study_targets(config)[target])


# --- snapshots ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "epochs"),
    [
        ("net@0", [0.0]),
        ("net@0.5", [0.5]),
        ("net@5e-1", [0.5]),
        ("net@2.0", [2.0]),
        ("net@last", [2.0]),
        ("net@all", [0.0, 0.5, 2.0]),
    ],
)
def test_snapshots_by_name(config: Make, text: str, epochs: list[float]) -> None:
    read = config("sources: {net: {snapshots: [2, 0, 0.5]}}")
    assert parse_snapshot(read, text) == [Snapshot("net", epoch) for epoch in epochs]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("net", "'net' is no snapshot; write source@epoch, for example net@last"),
        ("net@", "'' is no epoch; kept snapshots: net@0, net@0.5, net@2"),
        ("net@first", "'first' is no epoch; kept snapshots: net@0, net@0.5, net@2"),
        ("net@1", "'net@1' is not among the source's snapshots (net@0, net@0.5, net@2)"),
        ("net@nan", "'net@nan' is not among the source's snapshots (net@0, net@0.5, net@2)"),
    ],
)
def test_a_name_that_is_no_snapshot_says_which_there_are(
    config: Make, text: str, message: str
) -> None:
    with pytest.raises(ValueError) as raised:
        parse_snapshot(config(), text)
    assert str(raised.value) == message


# --- variants -----------------------------------------------------------------------------------


def test_without_overrides_the_only_variant_is_the_recipe() -> None:
    assert list(variants("plain", PLAIN, {})) == [("", "plain", PLAIN)]


def test_lists_are_sweeps_over_all_combinations() -> None:
    found = list(variants("plain", PLAIN, {"steps": 9, "beta": [0.1, 0.2], "flip": [False, True]}))
    assert [(suffix, name) for suffix, name, _ in found] == [
        ("+beta=0.1+flip=false", "plain+beta=0.1+steps=9"),
        ("+beta=0.1+flip=true", "plain+beta=0.1+flip=true+steps=9"),
        ("+beta=0.2+flip=false", "plain+beta=0.2+steps=9"),
        ("+beta=0.2+flip=true", "plain+beta=0.2+flip=true+steps=9"),
    ]
    assert [(r.beta, r.flip, r.steps) for _, _, r in found] == [
        (0.1, False, 9),
        (0.1, True, 9),
        (0.2, False, 9),
        (0.2, True, 9),
    ]


def test_milestones_are_one_value_and_lists_of_them_a_sweep() -> None:
    ((suffix, name, recipe),) = variants("plain", PLAIN, {"milestones": [0.5, 0.9]})
    assert (suffix, name) == ("", "plain+milestones=0.5,0.9")
    assert recipe.milestones == (0.5, 0.9)
    found = list(variants("plain", PLAIN, {"milestones": [[0.75], [0.5, 0.9]], "steps": [7]}))
    assert [(suffix, name, recipe.milestones) for suffix, name, recipe in found] == [
        ("+milestones=0.75+steps=7", "plain+milestones=0.75+steps=7", (0.75,)),
        ("+milestones=0.5,0.9+steps=7", "plain+milestones=0.5,0.9+steps=7", (0.5, 0.9)),
    ]


def test_every_field_that_holds_a_list_is_known_as_such() -> None:
    lists = {name for name, value in PLAIN.model_dump().items() if isinstance(value, tuple)}
    assert lists == {name for name in Recipe.model_fields if values_of(name, [1]) == [(1,)]}


@pytest.mark.parametrize("value", [0.01, 1e-2, [0.01]])
def test_a_value_that_the_recipe_has_anyway_is_not_in_the_name(value: float | list) -> None:
    ((_, name, recipe),) = variants("plain", PLAIN, {"alpha": value})
    assert (name, recipe) == ("plain", PLAIN)


def test_one_variant_has_one_name_however_its_values_are_written() -> None:
    names = {
        name for value in (1, 1.0) for _, name, _ in variants("plain", PLAIN, {"alpha": value})
    }
    assert names == {"plain+alpha=1"}


def test_each_bad_value_is_explained() -> None:
    assert list(invalid_values(PLAIN, "steps", [1, 0, "x"])) == [
        "must be greater than or equal to 1; found 0",
        "must be a whole number; found 'x'",
    ]
    assert list(invalid_values(PLAIN, "steps", 1)) == []


# --- runs ---------------------------------------------------------------------------------------

SWEEP = """
studies:
  demo:
    seeds: 3
    arms:
      first: {snapshots: [net@last, net@0], overrides: {alpha: [0.01, 1], steps: 5}, role: fast}
"""


def test_an_arm_is_its_variants_on_its_snapshots_and_targets(config: Make) -> None:
    plain = Recipe(steps=5)
    expected = [
        Runs(
            f"first+alpha={alpha:g}",
            "first",
            "fast",
            Snapshot("net", epoch),
            "near",
            variant,
            plain.model_copy(update={"alpha": alpha}),
            3,
        )
        for alpha, variant in ((0.01, "plain+steps=5"), (1.0, "plain+alpha=1+steps=5"))
        for epoch in (2.0, 0.0)
    ]
    assert runs(config(SWEEP)) == expected


def test_a_snapshot_or_target_named_twice_runs_once(config: Make) -> None:
    twice = "{snapshots: [net@last, net@2, net@all], targets: [near, near]}"
    read = config(f"studies: {{demo: {{arms: {{first: {twice}}}}}}}")
    assert [str(entry.snapshot) for entry in runs(read)] == ["net@2", "net@0", "net@0.5"]


@pytest.mark.parametrize(
    ("study", "scale", "arm", "expected"),
    [(None, None, None, 5), (2, None, None, 2), (2, 3, None, 3), (2, 3, 4, 4), (2, None, 4, 4)],
)
def test_seeds_are_the_arms_else_the_scales_else_the_studys(
    config: Make, study: int | None, scale: int | None, arm: int | None, expected: int
) -> None:
    text = f"""
studies:
  demo:
    {f"seeds: {study}" if study else ""}
    scales: {{demo: {{seeds: {scale or "null"}}}}}
    arms: {{first: {{seeds: {arm or "null"}}}}}
"""
    assert [entry.seeds for entry in runs(config(text))] == [expected]


# --- targets and scales -------------------------------------------------------------------------

SCALES = """
datasets:
  far: {providers: [{kind: sklearn, name: digits}], size: 28, channels: 1}
sources:
  large: {dataset: own, snapshots: [0, 9], epochs: 9}
studies:
  demo:
    scales:
      demo: {overrides: {steps: 7}}
      paper:
        rename: {net: large, near: far}
        overrides: {steps: 99, alpha: 0.5}
        seeds: 8
    arms:
      second: {recipe: fast, snapshots: [net@all], targets: [near, own], overrides: {alpha: 0.25}}
"""


def test_a_study_without_scales_is_one_target(config: Make) -> None:
    assert list(study_targets(config())) == ["demo"]


def test_the_demo_scale_goes_by_the_studys_name_and_others_by_both(config: Make) -> None:
    targets = study_targets(config(SCALES))
    assert list(targets) == ["demo", "demo-paper"]
    assert [t.study_name for t in targets.values()] == ["demo", "demo"]
    assert [t.scale_name for t in targets.values()] == ["demo", "paper"]


def test_a_study_may_have_no_demo_scale(config: Make) -> None:
    text = "studies: {demo: {scales: {paper: {}}}}\nsettings: {default_study: demo-paper}"
    assert list(study_targets(config(text))) == ["demo-paper"]


def test_a_scale_renames_overrides_and_sets_seeds_but_keeps_labels_and_roles(config: Make) -> None:
    read = config(SCALES)
    small, large = runs(read, "demo"), runs(read, "demo-paper")
    assert {entry.label for entry in small} == {entry.label for entry in large}
    assert [(str(e.snapshot), e.target, e.variant, e.seeds) for e in small] == [
        ("net@2", "near", "plain+steps=7", 5),
        ("net@0", "near", "fast+alpha=0.25+steps=7", 5),
        ("net@0", "own", "fast+alpha=0.25+steps=7", 5),
        ("net@0.5", "near", "fast+alpha=0.25+steps=7", 5),
        ("net@0.5", "own", "fast+alpha=0.25+steps=7", 5),
        ("net@2", "near", "fast+alpha=0.25+steps=7", 5),
        ("net@2", "own", "fast+alpha=0.25+steps=7", 5),
    ]
    assert [(str(e.snapshot), e.target, e.variant, e.seeds) for e in large] == [
        ("large@9", "far", "plain+alpha=0.5+steps=99", 8),
        ("large@0", "far", "fast+alpha=0.25+steps=99", 8),
        ("large@0", "own", "fast+alpha=0.25+steps=99", 8),
        ("large@9", "far", "fast+alpha=0.25+steps=99", 8),
        ("large@9", "own", "fast+alpha=0.25+steps=99", 8),
    ]


# --- rates by name, overrides by target ---------------------------------------------------------

RATES = """
sources:
  other: {dataset: own, snapshots: [1], epochs: 1}
studies:
  demo:
    scales:
      demo:
        rates: {c: {net: 0.1, other: 0.02}, b: 1e-3}
        overrides: {steps: {near: 30, own: 40}, flip: true}
      big:
        rename: {net: other, near: own}
        rates: {c: {net: 0.3, other: 0.3}, b: 0.7}
    arms:
      first:
        recipe: fast
        snapshots: [net@last, other@1]
        targets: [near, own]
        overrides: {alpha: [c, 3 c], beta: 0.5 b}
"""


def test_rates_are_those_of_the_source_as_the_arm_names_it(config: Make) -> None:
    found = [
        (entry.snapshot.source, entry.target, entry.recipe.alpha, entry.recipe.beta)
        for entry in runs(config(RATES))
    ]
    assert found == [
        ("net", "near", 0.1, 0.0005),
        ("net", "own", 0.1, 0.0005),
        ("other", "near", 0.02, 0.0005),
        ("other", "own", 0.02, 0.0005),
        ("net", "near", 0.3, 0.0005),  # 3 × 0.1 as decimal numbers, not 0.30000000000000004
        ("net", "own", 0.3, 0.0005),
        ("other", "near", 0.06, 0.0005),
        ("other", "own", 0.06, 0.0005),
    ]


def test_a_variants_name_says_the_rate_not_its_symbol(config: Make) -> None:
    names = [entry.variant for entry in runs(config(RATES))]
    assert names[0] == "fast+beta=0.0005+flip=true+steps=30"
    assert names[-1] == "fast+alpha=0.06+beta=0.0005+flip=true+steps=40"


def test_an_override_may_depend_on_the_target(config: Make) -> None:
    assert {(entry.target, entry.recipe.steps) for entry in runs(config(RATES))} == {
        ("near", 30), ("own", 40)
    }  # fmt: skip


def test_places_that_a_scale_makes_one_run_once(config: Make) -> None:
    read = config(RATES)
    big = runs_of(read, study_targets(read)["demo-big"])
    assert [(str(e.snapshot), e.target, e.recipe.alpha) for e in big] == [
        ("other@1", "own", 0.3),
        ("other@1", "own", 0.9),
    ]


def test_lr_is_both_rates_and_sweeps_them_together() -> None:
    found = list(variants("r", Recipe(), {"lr": [0.1, 0.2], "momentum": [0.9, 0]}))
    assert [(recipe.alpha, recipe.beta, recipe.momentum) for _, _, recipe in found] == [
        (0.1, 0.1, 0.9),
        (0.1, 0.1, 0.0),
        (0.2, 0.2, 0.9),
        (0.2, 0.2, 0.0),
    ]
    assert [name for _, name, _ in found][:2] == [
        "r+alpha=0.1+beta=0.1",
        "r+alpha=0.1+beta=0.1+momentum=0",
    ]
    assert found[1][0] == "+alpha=0.1+beta=0.1+momentum=0"


def test_a_scale_may_give_an_arm_another_grid(config: Make) -> None:
    study = """
studies:
  demo:
    scales: {demo: {}, big: {arms: {first: {lr: [0.3, 0.4, 0.5]}}}}
    arms: {first: {overrides: {lr: [0.1, 0.2], momentum: 0.5}}}
"""
    made = config(study)
    rates = lambda target: [(r.recipe.alpha, r.recipe.momentum) for r in runs(made, target)]  # noqa: E731
    assert set(rates("demo")) == {(0.1, 0.5), (0.2, 0.5)}
    assert set(rates("demo-big")) == {(0.3, 0.5), (0.4, 0.5), (0.5, 0.5)}


def test_a_scale_may_leave_out_targets_of_a_source(config: Make) -> None:
    read = config(
        """
sources: {other: {dataset: own, snapshots: [1], epochs: 1}}
studies:
  demo:
    scales:
      demo: {targets: {other: [own]}}
      big: {targets: {net: [near]}, rename: {near: own, own: near}}
    arms:
      first: {snapshots: [other@1, net@all], targets: [near, own]}
"""
    )

    def pairs(target: str) -> list[tuple[str, str]]:
        return [(str(one.snapshot), one.target) for one in runs(read, target)]

    whole = [(f"net@{epoch}", target) for epoch in ("0", "0.5", "2") for target in ("near", "own")]
    assert pairs("demo") == [("other@1", "own"), *whole]
    assert pairs("demo-big") == [
        *(("other@1", target) for target in ("own", "near")),
        *((f"net@{epoch}", "own") for epoch in ("0", "0.5", "2")),
    ]
