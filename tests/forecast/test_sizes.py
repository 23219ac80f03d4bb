import json
from pathlib import Path

import pytest

from fastpipe.config.load import load
from fastpipe.config.plan import Plan
from fastpipe.forecast.sizes import Sizes, split_sizes

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
