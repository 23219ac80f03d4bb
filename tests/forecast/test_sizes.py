import json
from pathlib import Path
from typing import Any

import pytest

from fastpipe.config.dataset import Dataset
from fastpipe.forecast.sizes import Sizes, split_sizes

DIGITS = {"kind": "sklearn", "name": "digits"}
CIFAR = {"kind": "torchvision", "name": "CIFAR10"}
NOWHERE = {"kind": "packages", "registry": "npm", "package": "x"}
FLOWERS = {"kind": "torchvision", "name": "Flowers102"}
FOLDER = {"kind": "folder", "path": "images"}
LOST = {"kind": "folder", "path": "on another machine"}


@pytest.fixture(autouse=True)
def in_a_folder_with_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 20), ("test", 3)):
        for name in ("cats", "dogs"):
            folder = Path("images", split, name)
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").touch()


def dataset(*providers: dict[str, str], **fields: Any) -> Dataset:
    return Dataset.model_validate_json(json.dumps({"providers": providers, "size": 32} | fields))


@pytest.mark.parametrize(
    ("declared", "sizes"),
    [
        (dataset(DIGITS, test=0.5), Sizes(854, 45, 898)),
        (
            dataset(NOWHERE, CIFAR, train_per_class=100, test_per_class=20, validation=0.1),
            Sizes(900, 100, 200),
        ),
        (dataset(CIFAR, classes=["cat", "dog"], train_per_class=100), Sizes(190, 10, 2000)),
        (dataset(CIFAR, validation_per_class=7), Sizes(49_930, 70, 10_000)),
        (dataset(FLOWERS), Sizes(None, None, None)),
        (dataset(FOLDER), Sizes(38, 2, 6)),
        (dataset(LOST, classes=["cats", "dogs"]), Sizes(None, None, None)),
        (dataset(LOST, CIFAR), Sizes(47_500, 2_500, 10_000)),
    ],
    ids=[
        *("a part for tests", "so many per class", "some classes", "exact", "unknown", "a folder"),
        *("elsewhere", "or another provider"),
    ],
)
def test_sizes_of_splits_before_they_are_prepared(declared: Dataset, sizes: Sizes) -> None:
    assert split_sizes("any", declared) == sizes


def test_sizes_of_prepared_splits_are_those_of_their_records() -> None:
    folder, flowers = Path("results/datasets/flowers"), dataset(FLOWERS)
    folder.mkdir(parents=True)
    for split, count in (("train", 7), ("val", 2), ("test", 3)):
        assert split_sizes("flowers", flowers) == Sizes(None, None, None)
        (folder / f"prepare-{split}.json").write_text(json.dumps({"facts": {"count": count}}))
    assert split_sizes("flowers", flowers) == Sizes(7, 2, 3)
    (folder / "prepare-val.json").write_text("{")
    assert split_sizes("flowers", flowers) == Sizes(None, None, None)
