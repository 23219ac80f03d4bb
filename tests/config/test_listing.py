import os
import shutil
from pathlib import Path

import pytest

from fastpipe.config.dataset import Dataset
from fastpipe.config.listing import listings


def dataset(folder: Path) -> Dataset:
    providers = ({"kind": "folder", "path": str(folder)},)
    return Dataset.model_validate({"providers": providers, "size": 28})


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "images"


def test_a_folder_with_and_one_without_splits(images: Path, tmp_path: Path) -> None:
    assert listings(dataset(images)).keys() == {"whole"}
    for split in ("train", "test"):
        shutil.copytree(images, tmp_path / "split" / split)
    found = listings(dataset(tmp_path / "split"))
    assert found.keys() == {"train", "test"}
    assert found["train"] == found["test"] == listings(dataset(images))["whole"]


def test_no_folder_no_listing(tmp_path: Path) -> None:
    assert listings(dataset(tmp_path / "none")) == {}
    digits = Dataset.model_validate(
        {"providers": ({"kind": "sklearn", "name": "digits"},), "size": 8}
    )
    assert listings(digits) == {}


def test_names_and_sizes_count_and_times_do_not(images: Path) -> None:
    before = listings(dataset(images))
    for path in images.rglob("*"):
        os.utime(path, (0, 0))
    assert listings(dataset(images)) == before
    (images / "cats" / "1.png").write_bytes(b"xx")
    larger = listings(dataset(images))
    (images / "cats" / "1.png").rename(images / "dogs" / "2.png")
    moved = listings(dataset(images))
    (images / "dogs" / "2.png").unlink()
    fewer = listings(dataset(images))
    assert len({str(found) for found in (before, larger, moved, fewer)}) == 4


def test_hidden_folders_do_not_count(images: Path) -> None:
    before = listings(dataset(images))
    (images / ".thumbnails").mkdir()
    (images / ".thumbnails" / "1.png").touch()
    assert listings(dataset(images)) == before
