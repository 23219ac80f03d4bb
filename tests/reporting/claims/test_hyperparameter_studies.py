"""The shipped studies of the hyperparameters paper have the arms that their claims need.

Runs are invented by a law in which the paper is right: the best effective learning rate falls with
similarity and is larger from scratch, where most is lost beside it.
"""

import math
from pathlib import Path

import numpy as np
import pytest

from fastpipe.config.load import load, yaml_files
from fastpipe.config.plan import Plan
from fastpipe.reporting.claims.registry import CLAIMS
from fastpipe.reporting.claims.verdicts import judge_claims
from fastpipe.reporting.database.build import StudyDatabase
from fastpipe.reporting.tables import Tables
from fastpipe.stages.collect import CollectSpec, _arm_rows, _recipe_row, _study_rows

SHIPPED = Path(__file__).parents[3] / "config"
PART = ("hp-grid", "hp-scratch", "hp-backbones", "hp-regularisers", "hp-batchnorm")
STUDIES = (*PART, "hp-augmentation")
DONE = [f"C{n}" for n in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11)]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(load([yaml_files(SHIPPED)]))


@pytest.fixture(scope="module")
def tables(plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("invented")
    with StudyDatabase(folder / "invented.duckdb") as database:
        spec = CollectSpec.model_validate_json(plan.collect("hyperparameters").spec)
        fill(database, spec, plan)
    (folder / "scratch").mkdir()
    with Tables(folder / "invented.duckdb", folder / "scratch") as opened:
        yield opened


def fill(database: StudyDatabase, spec: CollectSpec, plan: Plan) -> None:
    recipes = {name: _recipe_row(name, recipe) for name, recipe in spec.recipes.items()}
    database.insert("studies", _study_rows(spec.studies))
    database.insert("arms", _arm_rows(spec.arms))
    database.insert("recipes", list(recipes.values()))
    snapshots = [{"source": s.source, "epoch": s.epoch} for s in spec.snapshots]
    for row in snapshots:
        row["dataset"] = plan.config.sources[row["source"]].dataset
    database.insert("snapshots", snapshots)
    pairs = sorted({(arm.source, arm.epoch, arm.target) for arm in spec.arms})
    likeness = similarities(pairs)
    database.insert(
        "similarity",
        [dict(zip(("source", "epoch", "target"), pair, strict=True), similarity=likeness[pair])
         for pair in pairs],
    )  # fmt: skip
    seeds = {(a.source, a.epoch, a.target, a.recipe): a.seeds for a in spec.arms}
    database.insert(
        "runs",
        [
            run(recipes[recipe], (source, epoch, target), likeness, seed)
            for (source, epoch, target, recipe), own in seeds.items()
            for seed in own
        ],
    )


def similarities(pairs) -> dict[tuple, float]:
    """Even steps over targets, in another order for each dataset of a source."""
    targets = sorted({target for *_, target in pairs})
    shift = {"hp-fashion": 3, "hp-low": 5}
    return {
        pair: 0.95 - 0.03 * ((targets.index(pair[2]) + shift.get(pair[0], 0)) % len(targets))
        for pair in pairs
    }


def run(recipe, pair, likeness, seed) -> dict:
    source, epoch, target = pair
    similar = (likeness[pair] - 0.86) / 0.09  # from −1 to 1
    best, end, loss = (0.5, 0.75, 0.4) if epoch == 0 else (-0.75 - 0.75 * similar, 0.8, 0.04)
    top1 = end - loss * (math.log10(recipe["elr"]) - best) ** 2
    if recipe["regulariser"] == "l2-sp":
        top1 += 0.02 * (similar > 0)
    if recipe["crop"] == "resized":
        top1 -= 0.03 * (recipe["momentum"] > 0)
    words = [source, target, recipe["recipe"]]
    noise = np.random.default_rng([seed, *"".join(words).encode()]).normal(0, 0.0002, 2)
    own = {"source": source, "epoch": epoch, "target": target, "recipe": recipe["recipe"]}
    return own | {"seed": seed, "val_top1": top1 + noise[0], "final_top1": top1 + noise[1]}


def test_every_claim_is_listed_by_one_study(plan):
    listed = [claim for name in STUDIES for claim in plan.targets[name].study.claims]
    assert sorted(set(listed) | {"C8"}) == sorted([*DONE, "C8"])
    assert len(listed) == len(set(listed))


def test_where_the_paper_is_right_every_claim_is_supported(tables):
    found = judge_claims(tables, [CLAIMS[id] for id in DONE])
    assert {one.claim.id: one.verdict for one in found} == dict.fromkeys(DONE, "supported")


def test_what_is_compared(tables):
    found = {one.claim.id: one for one in judge_claims(tables, [CLAIMS[id] for id in DONE])}
    pairs = {
        id: {one.estimate.pairs for own in found[id].contrasts.values() for one in own}
        for id in DONE
    }
    assert pairs == {
        "C1": {21}, "C3": {21}, "C4": {21},  # pairs of source and target
        "C2": {7}, "C10": {7},  # targets
        "C5": {5}, "C6": {5}, "C7": {5}, "C9": {5}, "C11": {5},  # seeds
    }  # fmt: skip
    assert {setting.study for setting in found["C7"].settings} == {"hp-scratch"}
    assert len(found["C7"].settings) == 21
    ((network,),) = found["C10"].contrasts.values()
    assert network.name == "3 networks pretrained on mnist"
