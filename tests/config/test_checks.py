# ruff: noqa: E501 (a table: one case a line)
from collections.abc import Callable
from pathlib import Path

import pytest

from fastpipe.config.backbone_names import BACKBONES
from fastpipe.config.checks import CLAIMS, class_count
from fastpipe.config.dataset import Dataset
from fastpipe.config.names import STAGES

Problems = Callable[..., list[str]]


def arm(**fields: str) -> str:
    """YAML that changes fields of the only arm."""
    changes = ", ".join(f"{key}: {value}" for key, value in fields.items())
    return f"studies: {{demo: {{arms: {{first: {{{changes}}}}}}}}}"


def scale(text: str) -> str:
    """YAML that gives the only study a scale besides its own."""
    return f"studies: {{demo: {{scales: {{demo: {{}}, big: {{{text}}}}}}}}}"


def source(text: str) -> str:
    """YAML of another source on the same dataset."""
    return f"sources: {{other: {{dataset: own, snapshots: [1], {text}}}}}"


ARM = "studies.demo.arms.first"
BIG = "studies.demo.scales.big"

CASES = [
    # names
    ("recipes: {Fast: {}}", "recipes.Fast: differs from 'fast' only in case; both name one folder"),
    ("datasets: {NEAR: {size: 28, providers: [{kind: sklearn, name: digits}]}}", "datasets.NEAR: differs from 'near' only in case; both name one folder"),
    ("datasets: {near: {margin: 14}}", "datasets.near.margin: a margin of 14 px leaves nothing of 28 px"),
    # sources
    ("sources: {net: {dataset: owm}}", "sources.net.dataset: there is no entry 'owm' in datasets; did you mean 'own'?"),
    ("sources: {net: {backbone: {name: resnet81}}}", "sources.net.backbone.name: unknown backbone 'resnet81'; did you mean 'resnet18'?"),
    ("sources: {net: {backbone: {name: resnet18}}}", "sources.net.backbone.name: resnet18 takes 3 channels; set `channels: 3` in dataset own"),
    ("sources: {net: {backbone: {name: lenet5}}}\ndatasets: {own: {size: 64}, near: {size: 64}}", "sources.net.backbone.name: lenet5 takes images of 28 or 32 px; own has 64"),
    ("sources: {net: {snapshots: [0, 0.5, 2, 3]}}", "sources.net.snapshots.3: snapshot 3 is outside the source's epochs (0 to 2)"),
    ("sources: {net: {snapshots: [-1, 2]}}", "sources.net.snapshots.0: snapshot -1 is outside the source's epochs (0 to 2)"),
    ("sources: {net: {snapshots: [2, 1, 2.0]}}", "sources.net.snapshots: an epoch is listed twice in [2.0, 1.0, 2.0]"),
    (source("start: other@1"), "sources.other.start: other cannot start from itself"),
    (source("start: nett@2"), "sources.other.start: there is no entry 'nett' in sources; did you mean 'net'?"),
    (source("start: net"), "sources.other.start: 'net' is no snapshot; write source@epoch, for example net@last"),
    (source("start: net@1"), "sources.other.start: 'net@1' is not among the source's snapshots (net@0, net@0.5, net@2)"),
    (source("start: net@all"), "sources.other.start: 'net@all' means 3 snapshots; name one"),
    (source("start: net@2, backbone: {widths: [8]}"), "sources.other.start: net has another backbone than other"),
    (
        source("start: net@2") + "\ndatasets: {grey: {size: 28, channels: 1, providers: [{kind: sklearn, name: digits}]}, own: {channels: 3}, near: {channels: 3}}\n---\nsources: {other: {dataset: grey}}",
        "sources.other.start: grey has channels: 1, but the source was trained on channels: 3 (own); give both the same",
    ),
    (
        source("start: net@2, backbone: {name: lenet5}") + "\ndatasets: {big: {size: 32, channels: 1, providers: [{kind: sklearn, name: digits}]}}\n---\nsources: {other: {dataset: big}, net: {backbone: {name: lenet5}}}",
        "sources.other.start: big has 32 px, but lenet5 was trained at 28 px (own); give both the same `size`",
    ),
    # recipes
    ("recipes: {odd: {momentum_form: ema, optimiser: adam}}", "recipes.odd.momentum_form: 'ema' is a form of sgd's momentum; optimiser is adam"),
    ("recipes: {odd: {weight_decay: 0.1, effective_weight_decay: 0.1}}", "recipes.odd.effective_weight_decay: weight_decay is set already; set one of the two"),
    ("recipes: {odd: {decay_form: decoupled, optimiser: radam}}", "recipes.odd.decay_form: 'decoupled' is for sgd and nesterov; optimiser is radam"),
    ("recipes: {odd: {decay_form: decoupled, momentum_form: ema}}", "recipes.odd.decay_form: 'decoupled' is for momentum_form torch, not for ema"),
    (
        "recipes: {odd: {decay_form: decoupled, alpha: 0, beta: 0.5, weight_decay: 2}}",
        "recipes.odd.decay_form: 'decoupled' takes ηλ of the body away at each step; with beta 0.5 and λ 2 that is 1, all of it or more. Choose less of either",
    ),
    (
        "recipes: {odd: {decay_form: decoupled, alpha: 0.2, beta: 1e-3, effective_weight_decay: 50}}",
        "recipes.odd.decay_form: 'decoupled' takes ηλ of the head away at each step; with alpha 0.2 and λ 10 that is 2, all of it or more. Choose less of either",
    ),
    (
        "recipes: {odd: {decay_form: decoupled, alpha: 0.2, weight_decay: 0.1, head_weight_decay: 5}}",
        "recipes.odd.decay_form: 'decoupled' takes ηλ of the head away at each step; with alpha 0.2 and λ 5 that is 1, all",
    ),
    ("recipes: {odd: {alpha: 0, head_weight_decay: 0.1}}", "recipes.odd.head_weight_decay: pulls the head, but alpha is 0, so the head stays as it starts"),
    ("recipes: {odd: {bn_momentum: 0.9, body_mode: inference}}", "recipes.odd.bn_momentum: means nothing in body_mode inference, which keeps the running statistics"),
    ("recipes: {odd: {regulariser: l2-sp}}", "recipes.odd.regulariser: 'l2-sp' without weight_decay (its λ1) pulls the body nowhere"),
    ("recipes: {odd: {regulariser: l2-sp, weight_decay: 0.1, beta: 0}}", "recipes.odd.regulariser: 'l2-sp' pulls the body to where it started, but beta is 0"),
    ("recipes: {odd: {schedule: step, milestones: [0.5, 0.25]}}", "recipes.odd.milestones: must increase: [0.5, 0.25]"),
    ("recipes: {odd: {schedule: step, milestones: [0.5, 0.5]}}", "recipes.odd.milestones: must increase: [0.5, 0.5]"),
    ("recipes: {odd: {schedule: step, milestones: []}}", "recipes.odd.milestones: schedule 'step' needs milestones; without any the rates are constant"),
    (source("schedule: step, milestones: [0.9, 0.3]"), "sources.other.milestones: must increase: [0.9, 0.3]"),
    ("recipes: {odd: {warmup: frozen-stats, alpha: 0}}", "recipes.odd.warmup: warm-up 'frozen-stats' trains only the head, but alpha is 0"),
    ("recipes: {odd: {alpha: 0, beta: 0}}", "recipes.odd.beta: alpha and beta are both 0, so nothing would be trained"),
    ("recipes: {odd: {alpha: 0, head_init: zeros}}", "recipes.odd.head_init: a head that starts at 0 and stays there (alpha: 0) learns nothing"),
    ("recipes: {odd: {alpha: 0, head_init: normal, head_sigma: 0}}", "recipes.odd.head_init: a head that starts at 0 and stays there (alpha: 0) learns nothing"),
    # studies
    ("settings: {default_study: demmo}", "settings.default_study: there is no study 'demmo'; did you mean 'demo'?"),
    ("studies: {all: {title: T, includes: [demo]}}", "studies.all: the target 'all' already stands for a rule of the workflow"),
    ("studies: {Report: {title: T, includes: [demo]}}", "studies.Report: the target 'Report' already stands for a rule of the workflow"),
    (scale("") + "\n---\nstudies: {demo-big: {title: T, includes: [demo]}}", "studies.demo-big: the target 'demo-big' already stands for the study 'demo'"),
    (scale("") + "\n---\nstudies: {Demo-Big: {title: T, includes: [demo]}}", "studies.Demo-Big: the target 'Demo-Big' already stands for the study 'demo'"),
    ("studies: {demo: {extractors: [nett@0]}}", "studies.demo.extractors.0: there is no entry 'nett' in sources; did you mean 'net'?"),
    ("studies: {demo: {extractors: [net@0, net@1]}}", "studies.demo.extractors.1: 'net@1' is not among the source's snapshots (net@0, net@0.5, net@2)"),
    ("studies: {more: {title: T, includes: [dem]}}", "studies.more.includes.0: there is no entry 'dem' in studies; did you mean 'demo'?"),
    ("studies: {more: {title: T}}", "studies.more: a study needs arms or includes"),
    ("studies: {demo: {claims: [A7, A77]}}", "studies.demo.claims.1: unknown claim 'A77'; did you mean 'A7'?"),
    ("studies: {demo: {claims: [REGISTRY]}}", "studies.demo.claims.0: unknown claim 'REGISTRY'; valid: A1, "),
    # scales
    (scale("overrides: {step: 9}"), f"{BIG}.overrides.step: recipes have no field 'step'; did you mean 'steps'?"),
    (scale("overrides: {steps: 0}"), f"{BIG}.overrides.steps: must be greater than or equal to 1; found 0"),
    (scale("rename: {naer: own}"), f"{BIG}.rename.naer: no arm uses a source or dataset 'naer'; did you mean 'near'?"),
    (scale("rename: {near: owm}"), f"{BIG}.rename.near: there is no entry 'owm' in datasets; did you mean 'own'?"),
    (scale("rename: {net: own}"), f"{BIG}.rename.net: there is no entry 'own' in sources; valid: net"),
    (scale("targets: {nett: [near]}"), f"{BIG}.targets.nett: no arm uses a source 'nett'; did you mean 'net'?"),
    (scale("targets: {net: [near, own]}"), f"{BIG}.targets.net.1: no arm has a target 'own' from net; valid: near"),
    (scale("targets: {net: []}"), f"{BIG}.targets.net: leaves the arm 'first' no target from net"),
    # arms
    (arm(snapshots="[nte@last]"), f"{ARM}.snapshots.0: there is no entry 'nte' in sources; did you mean 'net'?"),
    (arm(snapshots="[net]"), f"{ARM}.snapshots.0: 'net' is no snapshot; write source@epoch, for example net@last"),
    (arm(snapshots="[net@last, net@1]"), f"{ARM}.snapshots.1: 'net@1' is not among the source's snapshots (net@0, net@0.5, net@2)"),
    (arm(snapshots="[net@first]"), f"{ARM}.snapshots.0: 'first' is no epoch; kept snapshots: net@0, net@0.5, net@2"),
    (arm(targets="[near, nere]"), f"{ARM}.targets.1: there is no entry 'nere' in datasets; did you mean 'near'?"),
    (arm(recipe="plian"), f"{ARM}.recipe: there is no entry 'plian' in recipes; did you mean 'plain'?"),
    (arm(overrides="{aplha: 1}"), f"{ARM}.overrides.aplha: recipes have no field 'aplha'; did you mean 'alpha'?"),
    (arm(overrides="{alpha: -1}"), f"{ARM}.overrides.alpha: must be greater than or equal to 0; found -1"),
    ("studies: {demo: {scales: {demo: {rates: {c: -1}}}}}", "studies.demo.scales.demo.rates.c: must be a number above 0 or a mapping of names to these; found -1"),
    (arm(overrides="{alpha: 2 c}"), f"{ARM}.overrides.alpha: the scale declares no rate 'c' for net (`rates` of the scale)"),
    (arm(overrides="{steps: c}"), f"{ARM}.overrides.steps: must be a whole number; found 'c'"),
    ("studies: {demo: {scales: {demo: {rates: {c: {nett: 0.1}}}}}}", "studies.demo.scales.demo.rates.c.nett: no arm uses a source 'nett'; did you mean 'net'?"),
    ("studies: {demo: {scales: {demo: {overrides: {steps: {neer: 3}}}}}}", "studies.demo.scales.demo.overrides.steps.neer: no arm has a target 'neer'; did you mean 'near'?"),
    ("studies: {demo: {scales: {demo: {overrides: {steps: {near: 0}}}}}}", "studies.demo.scales.demo.overrides.steps.near: must be greater than or equal to 1; found 0"),
    ("studies: {demo: {scales: {demo: {findings: {A7: why}}}}}", "studies.demo.scales.demo.findings.A7: the study does not judge a claim 'A7'"),
    ("studies: {demo: {exhibits: [A-F33]}}", "studies.demo.exhibits.0: unknown exhibit 'A-F33'; did you mean 'A-F3'?"),
    (arm(overrides="{alpha: '0.1'}"), f"{ARM}.overrides.alpha: must be a number, or a multiple of a rate such as `0.2 c`; found '0.1'"),
    (arm(overrides="{steps: 1e3}"), f"{ARM}.overrides.steps: must be a whole number; found 1000.0"),
    (arm(overrides="{steps: true}"), f"{ARM}.overrides.steps: must be a whole number; found True"),
    (arm(overrides="{head_init: zero}"), f"{ARM}.overrides.head_init: 'zero' is not allowed; did you mean 'zeros'?"),
    (arm(overrides="{alpha: []}"), f"{ARM}.overrides.alpha: an empty list is a sweep without values"),
    (arm(overrides="{alpha: [0.1, 1e-1]}"), f"{ARM}.overrides.alpha: a value is listed twice in [0.1, 0.1]"),
    (arm(overrides="{alpha: [[0.1, 0.2]]}"), f"{ARM}.overrides.alpha: must be a number; found [0.1, 0.2]"),
    (arm(overrides="{milestones: 0.5}"), f"{ARM}.overrides.milestones: must be a list; found 0.5"),
    (arm(overrides="{milestones: [0.5, x]}"), f"{ARM}.overrides.milestones: must be a number; found 'x'"),
    (arm(overrides="{milestones: [[0.5], [1.5]]}"), f"{ARM}.overrides.milestones: must be less than 1; found 1.5"),
    (arm(overrides="{milestones: [[0.5], 0.7]}"), f"{ARM}.overrides.milestones: must be a list; found 0.7"),
    (arm(overrides="{milestones: [[0.5], [0.5]]}"), f"{ARM}.overrides.milestones: a value is listed twice in [[0.5], [0.5]]"),
    (arm(overrides="{milestones: []}") + "\nrecipes: {plain: {schedule: step}}", f"{ARM}.overrides.milestones: plain+milestones=: schedule 'step' needs milestones"),
    (arm(overrides="{milestones: {a: 1}}"), f"{ARM}.overrides.milestones: must be true or false, a number, text or a list of these; found {{'a': 1}}"),
    (arm(overrides="{alpha: 0, beta: 0}"), f"{ARM}.overrides.beta: plain+alpha=0+beta=0: alpha and beta are both 0, so nothing would be trained"),
    (arm(overrides="{batch_size: 16}"), f"{ARM}.targets.0: plain+batch_size=16 has batch_size 16, which cannot hold the 10 classes of near equally; use a multiple of 10, for example 10"),
    (arm(overrides="{batch_size: 8}"), f"{ARM}.targets.0: plain+batch_size=8 has batch_size 8, which cannot hold the 10 classes of near equally; use a multiple of 10, for example 10"),
    ("datasets: {near: {classes: ['1']}}", f"{ARM}.targets.0: near has 1 class; a target needs two"),
    ("datasets: {near: {channels: 3}}", f"{ARM}.targets.0: near has channels: 3, but the source was trained on channels: 1 (own); give both the same"),
    ("datasets: {near: {size: 32}}\nsources: {net: {backbone: {name: lenet5}}}", f"{ARM}.targets.0: near has 32 px, but lenet5 was trained at 28 px (own); give both the same `size`"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), CASES)
def test_entries_must_fit_each_other(problems: Problems, text: str, problem: str) -> None:
    (found,) = problems(*text.split("---"))
    assert found.split(": ", 1)[1].startswith(problem)


@pytest.mark.parametrize("stage", STAGES)
def test_no_study_is_named_like_a_rule(problems: Problems, stage: str) -> None:
    (found,) = problems(f"studies: {{{stage}: {{title: T, includes: [demo]}}}}")
    assert found.endswith(f"the target {stage!r} already stands for a rule of the workflow")


def test_every_bad_value_of_every_sweep_is_told(problems: Problems) -> None:
    found = problems(arm(overrides="{alpha: [0.1, -1, -2], beta: [-3, 0.1], flip: [true, 1]}"))
    told = [problem.partition(": ")[2].partition(": ")[2] for problem in found]
    assert told == [
        "must be greater than or equal to 0; found -1",
        "must be greater than or equal to 0; found -2",
        "must be greater than or equal to 0; found -3",
        "must be true or false; found 1",
    ]


def test_sources_that_start_from_each_other_are_told(problems: Problems) -> None:
    found = problems(
        "sources: {a: {dataset: own, snapshots: [1], start: b@1},"
        "\n b: {dataset: own, snapshots: [1], start: a@1},"
        "\n c: {dataset: own, snapshots: [1], start: a@1}}"
    )
    assert [problem.partition(": ")[2] for problem in found] == [
        "sources.a.start: sources start from each other in a circle: a → b → a",
        "sources.b.start: sources start from each other in a circle: b → a → b",
        "sources.c.start: sources start from each other in a circle: c → a → b → a",
    ]


def test_studies_that_include_each_other_are_told(problems: Problems) -> None:
    found = problems("studies: {a: {title: T, includes: [b]}, b: {title: T, includes: [demo, a]}}")
    assert [problem.partition(": ")[2] for problem in found] == [
        "studies.a.includes.0: a and b include each other",
        "studies.b.includes.1: b and a include each other",
    ]


def test_the_names_of_long_sweeps_are_limited(problems: Problems) -> None:
    overrides = (
        "alpha: 1.23456789012345e-10, beta: 1.23456789012345e-10, head_sigma: 1.2345678901234e-10, "
        "momentum: 0.1234567890123456, warmup_gain: 0.1234567890123456, batch_size: 200, "
        "weight_decay: 1.23456789012345e-10, warmup: frozen-stats, head_init: kaiming-fan-out"
    )
    (found,) = problems(arm(overrides=f"{{{overrides}}}"))
    assert f"{ARM}.overrides: the name plain+alpha=1.23456789012345e-10+batch_s…" in found
    assert found.endswith("has over 200 characters")


def test_decoupled_decay_of_less_than_all_is_fine(problems: Problems) -> None:
    recipe = "decay_form: decoupled, alpha: 0.1, beta: 0.5, weight_decay: 1.9, head_weight_decay: 9"
    assert problems(f"recipes: {{odd: {{{recipe}}}}}") == []


def test_a_problem_of_a_recipe_is_not_repeated_for_its_variants(problems: Problems) -> None:
    found = problems("recipes: {plain: {alpha: 0, beta: 0}}", arm(overrides="{alpha: [0.1, 0.2]}"))
    assert len(found) == 1


def test_what_a_scale_renames_is_checked_there(problems: Problems) -> None:
    found = problems(
        arm(snapshots="[small@last]", targets="[tiny]"),
        "studies: {demo: {scales: {demo: {rename: {small: net, tiny: near}}}}}",
    )
    assert found == []


def test_overrides_of_single_arms_at_a_scale_are_checked_there(problems: Problems) -> None:
    assert [
        message.partition("studies.")[2]
        for message in problems(
            scale("arms: {first: {stepz: 1, lr: [0.1, 0.2], alpha: 0.1}, frist: {steps: 9}}")
        )
    ] == [
        "demo.scales.big.arms.first.stepz: recipes have no field 'stepz'; did you mean 'steps'?",
        "demo.scales.big.arms.first.alpha: lr sets it already",
        "demo.scales.big.arms.frist: there is no arm 'frist'; did you mean 'first'?",
    ]


def test_one_wrong_entry_is_told_once_however_many_arms_use_it(problems: Problems) -> None:
    other = "studies: {demo: {arms: {more: {recipe: fast, snapshots: [net@0], targets: [near]}}}}"
    assert len(problems(other, scale("overrides: {stepz: 1}"))) == 1


def test_claims_are_the_modules_named_like_one(problems: Problems) -> None:
    assert {"a5", "a7", "a9"} <= {path.stem for path in CLAIMS.glob("[a-z][0-9]*.py")}
    assert problems("studies: {demo: {claims: [A5, A7, A9]}}") == []


# --- numbers of classes -------------------------------------------------------------------------


def dataset(provider: dict, **fields: object) -> Dataset:
    return Dataset.model_validate({"providers": (provider,), "size": 28, **fields})


def test_class_count_of_known_providers() -> None:
    assert class_count(dataset({"kind": "sklearn", "name": "digits"})) == 10
    assert class_count(dataset({"kind": "torchvision", "name": "CIFAR100"})) == 100
    assert class_count(dataset({"kind": "torchvision", "name": "Unheard"})) is None
    digits = {"kind": "sklearn", "name": "digits"}
    assert class_count(dataset(digits, classes=("3", "5", "8"))) == 3


def test_class_count_of_folders(tmp_path: Path) -> None:
    provider = {"kind": "folder", "path": str(tmp_path)}
    assert class_count(dataset({"kind": "folder", "path": str(tmp_path / "none")})) is None
    for name in ("cats", "dogs", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").touch()
    assert class_count(dataset(provider)) == 2
    for name in ("a", "b", "c"):
        (tmp_path / "train" / name).mkdir(parents=True)
    assert class_count(dataset(provider)) == 3


def test_backbones_are_those_that_the_models_know() -> None:
    assert len(set(BACKBONES)) == len(BACKBONES)
    assert {"small-cnn", "lenet5", "resnet18"} <= set(BACKBONES)


def released(text: str) -> str:
    return f"sources: {{other: {{{text}}}}}"


W = "library: torchvision, backbone: {name: resnet18}"
RELEASED = [
    (released("snapshots: [1]"), "sources.other.dataset: is missing"),
    (released("dataset: own"), "sources.other.snapshots: is missing"),
    (released("dataset: own, snapshots: [1], weights: X"), "sources.other.weights: is for released weights; set `library`, or remove this key"),
    (released(f"{W}, lr: 0.1"), "sources.other.lr: released weights are not trained; remove lr, or `library`"),
    (released(f"{W}, epochs: 3"), "sources.other.epochs: released weights are not trained; remove epochs, or `library`"),
    (released(f"{W}, start: net@0"), "sources.other.start: released weights are not trained; remove start, or `library`"),
    (released(f"{W}, snapshots: [0, 1]"), "sources.other.snapshots: released weights have the one snapshot [0]; found [0.0, 1.0]"),
    (released(f"{W}, weights: none/w.pth"), "sources.other.weights: there is no file none/w.pth (relative paths start at the working directory)"),
    (released(f"{W}, sha256: {'0' * 64}".replace("0" * 64, f"'{'0' * 64}'")), "sources.other.sha256: is of a local file; name the file in `weights`, or remove this key"),
    (released(f"{W}, mean: [0.5]"), "sources.other.mean: resnet18 takes 3 channels; found mean of 1"),
    (released("library: file, backbone: {name: resnet18}"), "sources.other.weights: library file needs the path of the file of weights"),
    (released("library: file, backbone: {name: resnet18}"), "sources.other.std: library file needs std, one number for each channel of images in [0, 1]"),
    (released("library: torchvision"), "sources.other.backbone.name: library torchvision has no 'small-cnn'"),
    (released("library: timm, backbone: {name: resnet18}"), "sources.other.backbone.name: library timm has no 'resnet18'; write timm/NAME"),
    (released("library: timm, backbone: {name: timm/}"), "sources.other.backbone.name: timm/ needs the name of a model, for example timm/resnet18"),
    (released(f"{W}, dataset: own"), "sources.other.backbone.name: resnet18 takes 3 channels; set `channels: 3` in dataset own"),
    (released(W) + "\n" + arm(snapshots="[other@0]"), f"{ARM}.targets.0: near has channels: 1, but its weights take channels: 3; give both the same"),
    # datasets
    ("datasets: {near: {without_classes: ['33']}}", "datasets.near.without_classes.0: there is no class '33'; did you mean '3'?"),
    ("datasets: {own: {validation_per_class: 5421}}", "datasets.own.validation_per_class: the smallest class has 5421 training images; 5421 leave none to train on"),
    ("datasets: {own: {validation_per_class: 9, train_per_class: 9}}", "datasets.own.validation_per_class: 9 of 9 images of each class (train_per_class) leave none to train on"),
    ("datasets: {new: {providers: [{kind: folder, path: no/where}], size: 8}}", "datasets.new.providers.0.path: there is no folder no/where (relative paths start at the working directory)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), RELEASED)
def test_released_sources_and_lost_files_are_checked(problems, text: str, problem: str) -> None:
    found = [line.partition(" ")[2] for line in problems(text)]
    assert problem in found


def test_a_folder_that_another_provider_can_stand_in_for_may_be_missing(problems) -> None:
    text = "datasets: {near: {providers: [{kind: folder, path: no/where}, {kind: sklearn, name: digits}]}}"
    assert problems(text) == []


def test_timm_is_asked_for_before_any_job(problems, monkeypatch) -> None:
    text = released("library: timm, backbone: {name: timm/resnet18}")
    assert problems(text) == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (problem,) = problems(text)
    assert "timm/resnet18 needs timm, which is not installed; pip install" in problem


def test_classes_left_out_do_not_count(tmp_path) -> None:
    digits = {"kind": "sklearn", "name": "digits"}
    assert class_count(dataset(digits, without_classes=("3",))) == 9
    assert class_count(dataset(digits, classes=("1", "2", "3"), without_classes=("3",))) == 2
    caltech = {"kind": "torchvision", "name": "Caltech256"}
    assert class_count(dataset(caltech, without_classes=("257.clutter",))) == 256


def test_an_extractor_takes_the_images_of_every_source_and_target(problems: Problems) -> None:
    grey = "datasets: {rgb: {size: 28, channels: 3, providers: [{kind: sklearn, name: digits}]}}"
    colour = "sources: {colour: {dataset: rgb, snapshots: [1]}}"
    found = problems(grey, colour, "studies: {demo: {extractors: [colour@1]}}")
    assert [problem.partition(" studies.")[2] for problem in found] == [
        f"demo.extractors.0: {name} has channels: 1, but the source was trained on channels: 3 "
        "(rgb); give both the same"
        for name in ("near", "own")
    ]
