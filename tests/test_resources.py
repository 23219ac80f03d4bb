"""What jobs ask for follows from their spec and grows with the attempt."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fastpipe.config.load import load
from fastpipe.config.names import Pack, Snapshot
from fastpipe.config.plan import Plan
from fastpipe.estimate import Estimate
from fastpipe.evaluation.inference import images_per_batch
from fastpipe.forecast.networks import network_of
from fastpipe.resources import _PIXELS_PER_PASS, Resources

SOURCE = {"dataset": "own", "epochs": 2, "snapshots": [2], "batch_size": 100}
SOURCES = {
    "small": SOURCE,
    "wide": SOURCE | {"backbone": {"name": "small-cnn", "widths": [512, 1024]}},
    "deep": SOURCE | {"dataset": "large", "backbone": {"name": "resnet50"}},
}
CONFIG = {
    "settings": {"compute": {"device": "cpu"}},
    "datasets": {
        "own": {"providers": [{"kind": "sklearn", "name": "digits"}], "size": 8, "channels": 1},
        "large": {
            "providers": [{"kind": "torchvision", "name": "CIFAR10"}],
            **{"size": 224, "channels": 3},
        },
    },
    "sources": SOURCES,
    "recipes": {
        name: {"alpha": 0.1, "beta": 0.01, "steps": 20, "batch_size": size}
        for name, size in (("few", 10), ("many", 200))
    },
    "studies": {
        "demo": {
            "title": "S",
            "seeds": 1,
            "arms": {"a": {"recipe": "few", "snapshots": ["small@2"], "targets": ["own"]}},
        }
    },
}


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(json.dumps(CONFIG))
    return Plan(load([Path("c.yaml")]))


@pytest.fixture
def needs(plan: Plan) -> Resources:
    return needs_of(plan)


def needs_of(plan: Plan) -> Resources:
    """What jobs need; instead of wildcards it takes what names the job."""
    return Resources(plan, lambda stage, named: getattr(plan, stage)(named))


def changed(**sections: Any) -> Plan:
    """The plan of the fixture's configuration with changes merged in."""
    Path("changes.yaml").write_text(json.dumps(sections))
    return Plan(load([Path("c.yaml"), Path("changes.yaml")]))


def pack(source: str, target: str, recipe: str, seeds: int = 5) -> Pack:
    return Pack(Snapshot(source, 2.0), target, recipe, 0, seeds - 1)


def test_memory_follows_from_what_determines_it(plan: Plan, needs: Resources) -> None:
    memory = needs.memory
    few, many = (memory(plan.finetune(pack("deep", "large", r))) for r in ("few", "many"))
    kept = (
        2 * 4 * network_of({"name": "resnet50"}, 3).activations / 2**20
    )  # of an image, and gradients
    assert many - few == pytest.approx(190 * kept * 4 / 3, rel=0.02)
    small, wide = (memory(plan.finetune(pack(s, "own", "few"))) for s in ("small", "wide"))
    assert wide > small
    assert memory(plan.prepare("large")) > memory(plan.prepare("own"))
    assert memory(plan.pretrain(Snapshot("deep", 2.0))) > memory(
        plan.pretrain(Snapshot("small", 2.0))
    )


def test_features_count_by_their_length(plan: Plan, needs: Resources) -> None:
    stages = [
        lambda source: plan.features(Snapshot(source, 2.0), "large"),
        lambda source: plan.scores(Snapshot(source, 2.0), "large"),
    ]
    for job in stages:
        small, wide, deep = (needs.memory(job(source)) for source in ("small", "wide", "deep"))
        assert small < wide < deep  # 64, 1024, 2048
    compared = [plan.similarity(Snapshot(s, 2.0), "large", Snapshot(s, 2.0)) for s in SOURCES]
    assert {needs.memory(job) for job in compared} == {700}  # 500, and a third: class means alone


def test_a_network_that_is_not_known_is_taken_for_a_large_one(plan: Plan, needs: Resources) -> None:
    other = changed(sources={"deep": {"backbone": {"name": "timm/unheard_of"}}})
    asked = pack("deep", "large", "few")
    known = needs.memory(plan.finetune(asked))
    unknown = needs_of(other).memory(other.finetune(asked))
    assert known < unknown < 2 * known


def test_of_larger_images_only_what_is_seen_is_computed(plan: Plan, needs: Resources) -> None:
    other = changed(datasets={"large": {"size": 256, "view": 224}})
    packs = [pack("deep", "large", recipe) for recipe in ("few", "many")]
    few, many = (needs_of(other).memory(other.finetune(one)) for one in packs)
    as_before = [needs.memory(plan.finetune(one)) for one in packs]
    assert many - few == pytest.approx(as_before[1] - as_before[0], rel=0.01)


def test_forgetting_is_of_the_source_s_images(plan: Plan, needs: Resources) -> None:
    job = plan.forgetting(pack("deep", "own", "few"))
    assert needs.memory(job) > needs.memory(plan.deploy(pack("deep", "own", "few"))) + 1000


def test_memory_and_time_grow_with_the_attempt(plan: Plan, needs: Resources) -> None:
    job = pack("small", "own", "few")
    for ask in (needs.mem_mb("finetune"), needs.runtime("finetune")):
        assert ask(job, 1) > 0
        assert [ask(job, attempt) for attempt in (2, 3)] == [2 * ask(job, 1), 3 * ask(job, 1)]


def test_time_grows_with_the_pack_and_the_network(plan: Plan, needs: Resources) -> None:
    minutes = [needs.minutes(plan.finetune(pack("small", "own", "many", n))) for n in (1, 1000)]
    assert minutes[0] < minutes[1]
    # a large network that was never timed is judged by its multiplications
    assert needs.minutes(plan.finetune(pack("deep", "large", "many"))) > 10 * minutes[0]


def test_time_is_a_multiple_of_the_estimate_which_the_executor_gets(
    plan: Plan, needs: Resources
) -> None:
    named = pack("deep", "large", "many")
    seconds = Estimate(plan).seconds(plan.finetune(named))
    assert needs.seconds("finetune")(named) == round(seconds)
    assert needs.minutes(plan.finetune(named)) == 5 + math.ceil(3 * seconds / 60)


def test_a_job_that_cannot_be_estimated_gets_a_day(plan: Plan) -> None:
    other = changed(sources={"deep": {"backbone": {"name": "timm/unheard_of"}}})
    assert needs_of(other).minutes(other.finetune(pack("deep", "large", "few"))) == 24 * 60


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_s_libraries_need_memory_too(plan: Plan, needs: Resources, device: str) -> None:
    other = changed(settings={"compute": {"device": device}})
    job = pack("small", "own", "few")
    assert needs_of(other).memory(other.finetune(job)) > needs.memory(plan.finetune(job)) + 1000


@pytest.mark.parametrize("side", [8, 32, 224, 2000])
def test_an_evaluation_s_batch_is_the_one_that_is_taken(side: int) -> None:
    taken = images_per_batch((side, side), torch.device("cpu"))
    assert taken == max(1, _PIXELS_PER_PASS // side**2)


def test_activations_take_no_memory_of_the_host_if_they_lie_on_a_gpu(
    plan: Plan, needs: Resources
) -> None:
    on_gpu = changed(settings={"compute": {"device": "cuda"}})
    packs = [pack("deep", "large", recipe) for recipe in ("few", "many")]
    few, many = (needs_of(on_gpu).memory(on_gpu.finetune(one)) for one in packs)
    assert few == many < needs.memory(plan.finetune(packs[0]))
