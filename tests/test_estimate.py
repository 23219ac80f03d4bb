import json
from pathlib import Path

import pytest

from fastpipe.config.load import load
from fastpipe.config.names import Pack, Snapshot
from fastpipe.config.plan import Plan
from fastpipe.estimate import Estimate, Sizes, split_sizes

TEXT = """
datasets:
  near: {providers: [{kind: sklearn, name: digits}], size: 28, channels: 1, test: 0.5}
  own:
    providers: [{kind: packages, registry: npm, package: x}, {kind: torchvision, name: CIFAR10}]
    size: 32
    channels: 1
    train_per_class: 100
    test_per_class: 20
    validation: 0.1
  few:
    providers: [{kind: torchvision, name: CIFAR10}]
    size: 32
    classes: [cat, dog]
    train_per_class: 100
  unknown: {providers: [{kind: torchvision, name: Flowers102}], size: 32, channels: 1}
  files: {providers: [{kind: folder, path: images}], size: 32, channels: 1}
sources:
  net: {dataset: own, snapshots: [0, 0.5, 2], epochs: 2}
recipes:
  plain: {steps: 20}
studies:
  demo:
    title: A title
    seeds: 2
    arms:
      first: {recipe: plain, snapshots: [net@last], targets: [near]}
"""
PACK = Pack(Snapshot("net", 2.0), "near", "plain", 0, 4)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        for name in ("cats", "dogs"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for number in range(20 if split == "train" else 3):
                (tmp_path / "images" / split / name / f"{number}.png").touch()
    Path("c.yaml").write_text(TEXT)
    return Plan(load([Path("c.yaml")]))


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("near", Sizes(854, 45, 898)),
        ("own", Sizes(900, 100, 200)),
        ("few", Sizes(190, 10, 2000)),
        ("unknown", Sizes(None, None, None)),
        ("files", Sizes(38, 2, 6)),
    ],
)
def test_sizes_of_splits_before_they_are_prepared(plan: Plan, name: str, sizes: Sizes) -> None:
    assert split_sizes(name, plan.config.datasets[name]) == sizes


def test_sizes_of_prepared_splits_are_those_of_their_records(plan: Plan) -> None:
    folder = Path("results/datasets/unknown")
    folder.mkdir(parents=True)
    for split, count in (("train", 7), ("val", 2), ("test", 3)):
        assert split_sizes("unknown", plan.config.datasets["unknown"]) == Sizes(None, None, None)
        (folder / f"prepare-{split}.json").write_text(json.dumps({"facts": {"count": count}}))
    assert split_sizes("unknown", plan.config.datasets["unknown"]) == Sizes(7, 2, 3)
    (folder / "prepare-val.json").write_text("{")
    assert split_sizes("unknown", plan.config.datasets["unknown"]) == Sizes(None, None, None)


def test_images_of_each_stage(plan: Plan) -> None:
    estimate = Estimate(plan)
    images = estimate.images
    assert images(plan.prepare("own")) == 1200
    assert [images(plan.pretrain(Snapshot("net", epoch))) for epoch in (0.0, 0.5, 2.0)] == [
        0,
        450,
        1350,
    ]
    assert images(plan.features(Snapshot("net", 2.0), "own")) == 900 + 100
    assert images(plan.similarity(Snapshot("net", 2.0), "near", Snapshot("net", 2.0))) == 0
    # validations at 1, 3, 6, 10, 15, 20; deployments at 0, 1, 2, 3, 5, 8, 13, 20
    assert images(plan.finetune(PACK)) == 5 * (20 * 100 + 6 * 45 / 2)
    assert images(plan.deploy(PACK)) == 5 * 8 * 898
    assert images(plan.forgetting(PACK)) == 5 * 8 * 200
    assert images(plan.collect("demo")) == 0


def test_images_are_unknown_until_the_data_are_there(plan: Plan) -> None:
    estimate = Estimate(plan)
    assert estimate.images(plan.prepare("unknown")) is None
    assert estimate.seconds(plan.prepare("unknown")) == 3.0


def test_the_pace_is_that_of_the_same_stage_here(plan: Plan) -> None:
    job = plan.finetune(PACK)
    images = Estimate(plan).images(job)
    guessed = Estimate(plan).seconds(job)
    job.folder.mkdir(parents=True)
    (job.folder / "finetune.timing.json").write_text(json.dumps({"seconds": 50.0}))
    assert Estimate(plan).images_per_s(job) == images / 50
    assert Estimate(plan).seconds(job) == 53.0 != guessed
    deploy = next(other for other in plan.jobs("demo") if other.stage == "deploy")
    assert Estimate(plan).images_per_s(deploy) == 15e3
    (job.folder / "finetune.timing.json").write_text("{")
    assert Estimate(plan).seconds(job) == guessed


def test_the_pace_of_a_large_network_is_unknown_until_it_is_timed(plan: Plan) -> None:
    Path("more.yaml").write_text(
        "sources: {large: {dataset: own, backbone: {name: resnet18}, snapshots: [0]}}\n"
        "datasets: {own: {channels: 3}, near: {channels: 3}}"
    )
    plan = Plan(load([Path("c.yaml"), Path("more.yaml")]))
    job, estimate = plan.features(Snapshot("large", 0.0), "own"), Estimate(plan)
    assert estimate.images(job) == 1000 and not estimate.knows(job)
    assert estimate.seconds(job) == 3.0
