"""The shipped studies of the hyperparameters paper: complete, and exact at its own scale."""

import math
from pathlib import Path

import pytest

from fastpipe.config.checks import EXHIBITS, exhibit_id
from fastpipe.config.load import load, yaml_files
from fastpipe.config.plan import Plan
from fastpipe.training.schedules import rate_factor

SHIPPED = Path(__file__).parents[2] / "config"
PARTS = [
    *("hp-grid", "hp-scratch", "hp-backbones", "hp-momentum"),
    *("hp-regularisers", "hp-batchnorm", "hp-augmentation"),
]
TRAINING_IMAGES = {
    **{"dogs": 12_000, "caltech-256-60": 15_360, "indoor-67": 5_360, "birds": 5_994},
    **{"cars": 8_144, "aircraft": 6_667, "flowers-102": 2_040},
}
"""Table 1."""
RATES = [0.1, 0.05, 0.01, 0.005, 0.001, 0.0001]
MOMENTA = [0.99, 0.95, 0.9, 0.8, 0]
DECAYS = [0, 0.0001, 0.0005, 0.001]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(load([yaml_files(SHIPPED)]))


def runs(plan: Plan, study: str, arm: str) -> list:
    found = [runs for runs in plan.own_runs(study) if runs.arm == arm]
    assert found
    return found


@pytest.mark.parametrize("suffix", ["", "-paper"])
def test_hyperparameters_is_all_of_them(plan, suffix):
    wanted = [name + suffix for name in ("hyperparameters", *PARTS)]
    assert set(plan.with_included(f"hyperparameters{suffix}")) == set(wanted)


def test_every_exhibit_and_claim_of_the_paper_is_asked_for(plan):
    studies = [plan.targets[name].study for name in PARTS]
    assert {claim for study in studies for claim in study.claims} == {f"C{n}" for n in range(1, 12)}
    exhibits = {exhibit for study in studies for exhibit in study.exhibits}
    known = {exhibit_id(path.stem) for path in EXHIBITS.glob("c_*.py")}
    assert exhibits >= known
    assert known == {f"C-F{n}" for n in range(1, 14)} | {f"C-T{n}" for n in range(1, 9)}


@pytest.mark.parametrize("part", PARTS)
def test_arms_are_the_same_at_both_scales(plan, part):
    arms = [dict.fromkeys(r.arm for r in plan.own_runs(part + end)) for end in ("", "-paper")]
    assert list(arms[0]) == list(arms[1])


def test_the_demo_spans_pairs_sources_and_targets(plan):
    grid = [r for r in plan.own_runs("hp-grid") if r.arm.startswith("grid")]
    pairs = {(r.snapshot, r.target) for r in grid}
    assert len(pairs) >= 12
    assert len({r.snapshot for r in grid}) >= 3
    assert len({r.target for r in grid}) >= 6
    assert min(r.seeds for r in grid) >= 3
    for pair in pairs:
        own = [r.recipe for r in grid if (r.snapshot, r.target) == pair]
        assert len({recipe.alpha for recipe in own}) >= 5
        assert len({recipe.momentum for recipe in own}) >= 2
        assert len({recipe.weight_decay for recipe in own}) >= 2
        assert all(recipe.alpha == recipe.beta for recipe in own)


@pytest.mark.parametrize(("study", "arm"), [("hp-grid", "grid"), ("hp-backbones", "backbones")])
def test_the_papers_grid(plan, study, arm):
    by_target: dict[str, set] = {}
    for one in runs(plan, f"{study}-paper", arm):
        recipe = one.recipe
        assert (recipe.batch_size, recipe.optimiser) == (256, "nesterov")
        assert (recipe.flip, recipe.crop, recipe.protocol) == (True, "resized", "final")
        assert recipe.steps == math.ceil(300 * TRAINING_IMAGES[one.target] / 256)
        own = by_target.setdefault(one.target, set())
        own.add((recipe.alpha, recipe.beta, recipe.momentum, recipe.weight_decay))
    wanted = {(rate, rate, m, decay) for rate in RATES for m in MOMENTA for decay in DECAYS}
    assert all(points == wanted for points in by_target.values())


@pytest.mark.parametrize("suffix", ["", "-paper"])
def test_the_default_is_a_point_of_every_grid(plan, suffix):
    grid = {(r.snapshot, r.target, r.variant) for r in runs(plan, f"hp-grid{suffix}", "grid")}
    default = runs(plan, f"hp-grid{suffix}", "default")
    assert {(r.snapshot, r.target, r.variant) for r in default} < grid
    assert {r.snapshot for r in default} == {snapshot for snapshot, _, _ in grid}


def test_the_papers_default_and_pairs(plan):
    default = runs(plan, "hp-grid-paper", "default")
    for key, value in {"momentum": 0.9, "weight_decay": 0.0001, "alpha": 0.01}.items():
        assert {getattr(one.recipe, key) for one in default} == {value}
    sources = ["imagenet-resnet101", "places-resnet101", "inat-resnet101"]
    for arm in ("default", "grid"):
        own = runs(plan, "hp-grid-paper", arm)
        pairs = {(r.snapshot.source, r.target) for r in own}
        assert pairs == {(source, target) for source in sources for target in TRAINING_IMAGES}


def test_rates_fall_at_the_papers_epochs(plan):
    for study, arm, epochs, ends in [
        ("hp-grid-paper", "default", 300, (150, 250)),
        ("hp-scratch-paper", "scratch", 600, (400, 550)),
    ]:
        for one in runs(plan, study, arm):
            recipe = one.recipe
            options = {"milestones": recipe.milestones, "decay_factor": recipe.decay_factor}
            factors = [
                rate_factor(step, recipe.steps, recipe.schedule, **options)
                for step in range(1, recipe.steps + 1)
            ]
            for number, end in enumerate(ends):
                fallen = sum(factor > 0.1 ** (number + 0.5) for factor in factors)
                assert abs(fallen - recipe.steps * end / epochs) < 1.5
            assert factors[-1] == pytest.approx(0.01)


def test_scratch_has_its_own_grid_and_random_weights(plan):
    scratch = runs(plan, "hp-scratch-paper", "scratch")
    assert {r.snapshot.epoch for r in scratch} == {0.0}
    assert {plan.config.sources[r.snapshot.source].library for r in scratch} == {None}
    assert {r.recipe.alpha for r in scratch} == {0.1, 0.2, 0.5}
    assert {r.recipe.weight_decay for r in scratch} == {0.0001, 0.0005}


def test_regularisers_of_appendix_d(plan):
    for arm, regulariser in [("l2", "l2"), ("l2-sp", "l2-sp")]:
        own = [r.recipe for r in runs(plan, "hp-regularisers-paper", arm)]
        assert {(r.alpha, r.weight_decay) for r in own} == {
            (rate, decay)
            for rate in (0.02, 0.01, 0.005, 0.001, 0.0001)
            for decay in (0.1, 0.01, 0.001, 0.0001)
        }
        for recipe in own:
            assert (recipe.steps, recipe.batch_size, recipe.momentum) == (9000, 64, 0.9)
            assert recipe.regulariser == regulariser
            assert recipe.head_weight_decay == (0.01 if arm == "l2-sp" else None)
            assert round(9000 * recipe.milestones[0]) == 6000


def test_momentum_batchnorm_and_augmentation(plan):
    for arm, size in [("momentum", 256), ("momentum-small-batches", 16)]:
        momentum = [r.recipe for r in runs(plan, "hp-momentum-paper", arm)]
        assert {(r.momentum, r.weight_decay) for r in momentum} == {
            (m, decay) for m in MOMENTA for decay in (0.0005, 0.0001, 0)
        }
        assert {r.batch_size for r in momentum} == {size}
        assert {r.steps for r in momentum} == {math.ceil(300 * TRAINING_IMAGES["birds"] / size)}
    for suffix in ("", "-paper"):
        bn = runs(plan, f"hp-batchnorm{suffix}", "bn-momentum")
        assert {r.recipe.bn_momentum for r in bn} == {0, 0.9, 0.95, 0.99}
    policies = {
        arm: {(r.recipe.crop, r.recipe.flip) for r in runs(plan, "hp-augmentation-paper", arm)}
        for arm in ("resized-crop", "random-crop", "as-they-are")
    }
    assert policies == {
        "resized-crop": {("resized", True)},
        "random-crop": {("random", True)},
        "as-they-are": {("none", True)},
    }


def test_images_at_the_papers_scale_keep_their_ratio(plan):
    needed = plan.datasets("hyperparameters-paper")
    assert set(TRAINING_IMAGES) < set(needed)
    for name in needed:
        dataset = plan.config.datasets[name]
        assert (dataset.size, dataset.view, dataset.aspect) == (256, 224, "keep")
