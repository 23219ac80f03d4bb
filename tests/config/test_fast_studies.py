"""The shipped studies of the FAST paper: complete, and exact at the paper's own scale."""

from pathlib import Path

import pytest

from fastpipe.config.checks import EXHIBITS, exhibit_id
from fastpipe.config.load import load, yaml_files
from fastpipe.config.names import Snapshot
from fastpipe.config.plan import Plan

SHIPPED = Path(__file__).parents[2] / "config"
PARTS = [
    *("fast-init-same", "fast-init-other", "fast-frozen-head", "fast-warmup"),
    *("fast-rates", "fast-optimisers", "fast-convergence"),
]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(load([yaml_files(SHIPPED)]))


def variants(plan: Plan, study: str, **where) -> dict[str, list]:
    """Runs of a study by label; `source` and `target` select."""
    found: dict[str, list] = {}
    for runs in plan.own_runs(study):
        if all(getattr(runs, key) == value for key, value in where.items()):
            found.setdefault(runs.label, []).append(runs)
    return found


@pytest.mark.parametrize("suffix", ["", "-paper"])
def test_fast_is_all_of_them(plan, suffix):
    assert plan.with_included(f"fast{suffix}") == [name + suffix for name in ("fast", *PARTS)]


def test_every_exhibit_and_claim_of_the_paper_is_asked_for(plan):
    studies = [plan.targets[name].study for name in PARTS]
    claims = {claim for study in studies for claim in study.claims}
    assert claims == {f"A{number}" for number in range(1, 17)}
    exhibits = {exhibit for study in studies for exhibit in study.exhibits}
    known = {exhibit_id(path.stem) for path in EXHIBITS.glob("a_*.py")}
    assert exhibits >= known
    assert {f"A-F{n}" for n in (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)} | {"A-T1"} <= known


@pytest.mark.parametrize("part", PARTS)
def test_a_scale_changes_no_arm(plan, part):
    demo, paper = variants(plan, part), variants(plan, f"{part}-paper")
    assert list(demo) == list(paper)
    for label in demo:
        (one, *_), (other, *_) = demo[label], paper[label]
        assert one.role == other.role
        unlike = {"alpha", "beta", "steps", "batch_size", "flip"}
        assert one.recipe.model_dump(exclude=unlike) == other.recipe.model_dump(exclude=unlike)


@pytest.mark.parametrize("part", PARTS)
def test_what_the_text_fixes_for_all_experiments(plan, part):
    for runs in plan.own_runs(f"{part}-paper"):
        assert runs.seeds == 15
        assert runs.recipe.flip and not runs.recipe.head_bias
        assert runs.recipe.momentum == 0.9 and runs.recipe.weight_decay == 0
        dataset = plan.config.datasets[runs.target]
        assert dataset.size == (148 if runs.target == "caltech-256" else 128)
        assert dataset.channels == 3
        if dataset.validation_per_class is None:
            assert dataset.validation == 0.05


def test_sources_and_targets(plan):
    used = {
        part: {
            (plan.config.sources[runs.snapshot.source].backbone.name, runs.target)
            for runs in plan.own_runs(f"{part}-paper")
        }
        for part in PARTS
    }
    assert used == {
        "fast-init-same": {("resnet18", "cifar-100")},
        "fast-init-other": {("resnet18", "mnist-128")},
        "fast-frozen-head": {("resnet18", "cifar-100")},
        "fast-warmup": {("resnet18", "cifar-100")},
        "fast-rates": {("resnet18", "cifar-100"), ("vgg19", "cifar-100")},
        "fast-optimisers": {("densenet201", "cifar-100"), ("vgg19", "cifar-100")},
        "fast-convergence": {
            ("resnext101_32x8d", "cifar-100"), ("resnext101_32x8d", "caltech-256")
        },
    }  # fmt: skip


def test_the_source_that_starts_from_another(plan):
    """Section 6.2: ImageNet → CIFAR-100 with a Kaiming fan-in head, 120 epochs → the target."""
    (start,) = {runs.snapshot for runs in plan.own_runs("fast-init-other-paper")}
    assert start == Snapshot("cifar100-resnet18", 120.0)
    assert plan.origin(start.source) == Snapshot("imagenet-resnet18", 0.0)
    assert plan.config.sources[start.source].head_init == "kaiming-fan-in"


def test_head_starts_of_figures_3_to_5(plan):
    for part in ("fast-init-same", "fast-init-other"):
        sigmas = [runs.recipe.head_sigma for runs in plan.own_runs(f"{part}-paper")]
        assert sigmas == [1, 1e-1, 1e-2, 1e-4, 1e-8]
        assert {(r.recipe.alpha, r.recipe.beta) for r in plan.own_runs(f"{part}-paper")} == {
            (0.01, 0.01)
        }


def test_convergence_lasts_the_papers_epochs(plan):
    runs = {(r.label, r.target): r.recipe for r in plan.own_runs("fast-convergence-paper")}
    cifar, caltech = runs["FAST", "cifar-100"], runs["FAST", "caltech-256"]
    assert (cifar.batch_size, caltech.batch_size) == (100, 256)  # M = N
    assert cifar.steps == 250 * (50_000 * 95 // 100) // 100
    images = 30_607 - 827  # of Caltech-256, without clutter
    training = images - round(images / 5) - 5 * 256
    assert caltech.steps == 330 * (training // 256)
    rates = [runs[f"baseline-{name}", "cifar-100"].alpha for name in ("5c", "c", "0.5c")]
    assert rates == [5e-2, 1e-2, 5e-3]
    assert all(r.beta == r.alpha for (label, _), r in runs.items() if label != "FAST")


@pytest.mark.parametrize(
    ("source", "optimiser", "rates"),
    [
        ("imagenet-densenet201", "sgd", [5e-2, 1e-2, 5e-3]),
        ("imagenet-vgg19", "sgd", [25e-2, 5e-2, 25e-3]),
        ("imagenet-densenet201", "adam", [25e-4, 5e-4, 25e-5]),
        ("imagenet-vgg19", "radam", [25e-4, 5e-4, 25e-5]),
    ],
)
def test_baselines_of_figures_10_to_12(plan, source, optimiser, rates):
    found = [
        runs.recipe.alpha
        for runs in plan.own_runs("fast-optimisers-paper")
        if (runs.snapshot.source, runs.role) == (source, "baseline")
        and runs.recipe.optimiser == optimiser
    ]
    assert found == pytest.approx(rates)
