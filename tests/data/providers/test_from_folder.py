"""Images in class folders."""

import os

import numpy as np
import pytest
from PIL import Image

from fastpipe.config.dataset import FolderProvider
from fastpipe.data.providers.from_folder import provide_folder
from fastpipe.data.providers.provided import UnavailableError
from fastpipe.errors import UserError


def _image(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), value).save(path)


def _provide(folder, **sha256):
    return provide_folder(FolderProvider(kind="folder", path=str(folder)), sha256)


def _values(pictures):
    rows = np.zeros((len(pictures.labels), 4, 4, 1), dtype=np.uint8)
    assert pictures.fill(rows, np.arange(len(rows))) == []
    return rows[:, 0, 0, 0].tolist()


def test_classes_and_files_are_in_the_order_of_their_names(tmp_path):
    for value, name in enumerate(["b/2.png", "b/10.png", "a/x/1.png", "a/0.jpeg", "B/z.bmp"]):
        _image(tmp_path / name, value)
    provided = _provide(tmp_path)
    assert provided.classes == ["B", "a", "b"]
    assert provided.test is None
    assert provided.train.labels.tolist() == [0, 1, 1, 2, 2]
    assert _values(provided.train) == [4, 3, 2, 1, 0]
    assert provided.train.source(2) == "a/x/1.png"


def test_train_and_test_folders(tmp_path):
    for value, name in enumerate(
        ["train/a/1.png", "train/b/1.png", "test/b/1.png", "test/a/1.png"]
    ):
        _image(tmp_path / name, value)
    (tmp_path / "README.txt").write_text("files beside the folders are nobody's images")
    provided = _provide(tmp_path)
    assert _values(provided.train) == [0, 1]
    assert _values(provided.test) == [3, 2]
    assert provided.test.source(0) == "test/a/1.png"


def test_hidden_files_are_left_out_and_links_followed_once(tmp_path):
    _image(tmp_path / "a/1.png", 1)
    _image(tmp_path / "b/1.png", 2)
    _image(tmp_path / "elsewhere.d/2.png", 3)
    (tmp_path / "a/.DS_Store").touch()
    (tmp_path / "a/Thumbs.db").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / "a/more").symlink_to(tmp_path / "elsewhere.d")
    (tmp_path / "elsewhere.d/loop").symlink_to(tmp_path / "elsewhere.d")
    (tmp_path / "elsewhere.d").rename(tmp_path / ".elsewhere.d")
    (tmp_path / "a/more").unlink()
    (tmp_path / "a/more").symlink_to(tmp_path / ".elsewhere.d")
    (tmp_path / ".elsewhere.d/loop").unlink()
    (tmp_path / ".elsewhere.d/loop").symlink_to(tmp_path / ".elsewhere.d")
    provided = _provide(tmp_path)
    assert provided.classes == ["a", "b"]
    assert _values(provided.train) == [1, 3, 2]


HOSTILE = [
    "a b",
    "Äpfel",
    "</script>",
    "$(touch evil)",
    "-rf",
    "'; x",
    "{x}",
    "a\nb",
    "🦉",
    "x" * 250,
]


@pytest.mark.fault(21)
@pytest.mark.parametrize("name", HOSTILE)
def test_any_folder_name_is_a_class(tmp_path, name):
    folder = name.replace("/", "∕")  # the one sign that no file name can hold
    _image(tmp_path / "root dir" / folder / f"{folder[:40]}.png", 1)
    _image(tmp_path / "root dir" / "zzz" / "x.png", 2)
    provided = _provide(tmp_path / "root dir")
    assert set(provided.classes) == {folder, "zzz"}
    assert sorted(_values(provided.train)) == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["root dir"]


def test_names_are_composed_so_that_they_compare(tmp_path):
    _image(tmp_path / "A\u0308pfel/1.png")
    _image(tmp_path / "b/1.png")
    assert _provide(tmp_path).classes == ["b", "\u00c4pfel"]
    _image(tmp_path / "\u00c4pfel/1.png")
    with pytest.raises(UserError, match="two folders for the class 'Äpfel'"):
        _provide(tmp_path)


@pytest.mark.fault(21)
def test_a_name_that_is_no_text_is_refused(tmp_path):
    _image(tmp_path / "b/1.png")
    os.mkdir(os.fsencode(tmp_path) + b"/\xff\xfe")  # noqa: PTH102
    with pytest.raises(UserError, match="is not valid UTF-8"):
        _provide(tmp_path)


@pytest.mark.fault(18)
def test_a_class_in_one_split_only_is_named(tmp_path):
    for name in ["train/a/1.png", "train/b/1.png", "test/b/1.png", "test/c/1.png"]:
        _image(tmp_path / name)
    with pytest.raises(UserError, match="class 'a' is missing in test; class 'c' is missing in tr"):
        _provide(tmp_path)


@pytest.mark.parametrize(
    "folders", [["train", "val"], ["train"], ["train", "test", "val"], ["train", "test", "cats"]]
)
def test_ambiguous_layouts_are_explained(tmp_path, folders):
    for folder in folders:
        _image(tmp_path / folder / "a/1.png")
    with pytest.raises(UserError, match="validation split is carved from train"):
        _provide(tmp_path)


def test_train_may_also_be_a_class(tmp_path):
    for folder in ("bus", "train"):
        _image(tmp_path / folder / "1.png")
    assert _provide(tmp_path).classes == ["bus", "train"]


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(UnavailableError, match=r"there is no folder .*nowhere"):
        _provide(tmp_path / "nowhere")
    with pytest.raises(UserError, match="has no class folders"):
        _provide(tmp_path)


def test_hashes_are_checked(tmp_path):
    _image(tmp_path / "a/1.png")
    with pytest.raises(UnavailableError, match=r"the content is not the expected one: 1.png"):
        _provide(tmp_path, **{"1.png": "0" * 64})


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    _image(tmp_path / "pictures/a/1.png")
    assert _provide("~/pictures").classes == ["a"]


def test_files_that_are_no_images_by_their_suffix_are_left_out_and_counted(tmp_path):
    for name in ("a/1.png", "a/2.JPEG", "b/3.png"):
        _image(tmp_path / name)
    Image.new("L", (4, 4)).save(tmp_path / "b/plain", format="png")
    for name in ("a/notes.txt", "b/NOTES.TXT", "b/Thumbs.db", "a/.DS_Store"):
        (tmp_path / name).write_text("no image")
    provided = _provide(tmp_path)
    assert provided.train.labels.tolist() == [0, 0, 1, 1]
    assert provided.other_files == {".db": 1, ".txt": 2}
