"""What `fastpipe check` finds in a folder, against what `prepare` makes of the very same one."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fastpipe.cli import app
from fastpipe.config.dataset import Dataset, FolderProvider
from fastpipe.config.folders import folder_problems, split_counts, split_files
from fastpipe.data.preparation import choose
from fastpipe.data.providers.from_folder import provide_folder
from fastpipe.errors import UserError
from fastpipe.inspection import inspect

SIZES = {"Äpfel": 20, "zwei Worte": 9, "</script>".replace("/", "∕"): 7}


def picture(path: Path, value=0, size=(40, 40), mode="RGB", **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), value, np.uint8)
    pixels[::3] = (value * 7) % 256
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    (image if mode in ("RGB", "I;16") else image.convert(mode)).save(path, **options)


@pytest.fixture
def photos(tmp_path) -> Path:
    root = tmp_path / "photos"
    for offset, (name, count) in enumerate(SIZES.items()):
        for i in range(count):
            picture(root / unicodedata.normalize("NFD", name) / f"Bild {i}.PNG", 50 * offset + i)
    return root


def dataset(root: Path, **options) -> Dataset:
    provider = FolderProvider(kind="folder", path=str(root))
    return Dataset(**{"providers": (provider,), "size": 16} | options)


def problems(root: Path, **options) -> list[str]:
    return [message for _, message in folder_problems(dataset(root, **options))]


def notes(root: Path, **options) -> str:
    return "\n".join(inspect(dataset(root, **options)).notes)


def refused(root: Path, **options) -> str:
    """What `prepare` says of a folder."""
    options = dataset(root, **options)
    with pytest.raises(UserError) as error:
        choose(options, provide_folder(options.providers[0], {}))
    return str(error.value)


@pytest.mark.parametrize("options", [{}, {"test": 0.4, "validation": 0.3}, {"train_per_class": 5},
                                     {"validation_per_class": 2, "test_per_class": 1}])  # fmt: skip
@pytest.mark.parametrize("folders", [False, True])
def test_counts_are_those_that_prepare_arrives_at(photos, options, folders):
    if folders:
        photos.rename(photos.parent / "train")
        (photos.parent / "all").mkdir()
        (photos.parent / "train").rename(photos.parent / "all" / "train")
        for name in SIZES:
            picture(photos.parent / "all" / "test" / name / "1.png")
            picture(photos.parent / "all" / "test" / name / "2.png")
        photos = photos.parent / "all"
    declared = dataset(photos, **options)
    assert problems(photos, **options) == []
    found = split_counts(declared, split_files(declared, photos))
    classes, splits = choose(declared, provide_folder(declared.providers[0], {}))
    for split, chosen in splits.items():
        counts = np.bincount(chosen.labels, minlength=len(classes)).tolist()
        assert found[split] == dict(zip(classes, counts, strict=True))


def test_an_empty_class_and_one_too_small_are_told_together_with_what_to_write(photos):
    (photos / "leer").mkdir()
    for i in range(2):
        picture(photos / "zu: klein" / f"{i}.jpg")
    assert problems(photos) == [
        f"{photos} has no image of class 'leer'; add images, or leave it out with "
        '`without_classes: ["leer"]`',
        f"{photos} has too few images: class 'zu: klein' has 2; at least 3 are needed, one each "
        "for train, val and test; add images, or leave it out with "
        '`without_classes: ["zu: klein"]`',
    ]
    assert "no image in train of class 'leer'" in refused(photos)
    assert "'zu: klein' has 2; at least 3" in refused(photos, without_classes=("leer",))
    assert problems(photos, without_classes=("leer", "zu: klein")) == []


def test_leaving_classes_out_is_no_advice_where_too_few_are_left(tmp_path):
    for name in ("a", "b", "c"):
        picture(tmp_path / "own" / name / "1.jpg")
    (small,) = problems(tmp_path / "own")
    assert small.endswith("at least 3 are needed, one each for train, val and test; add images")


def test_train_and_test_folders_need_each_class_in_both(photos, tmp_path):
    root = tmp_path / "both"
    root.mkdir()
    photos.rename(root / "train")
    for name in [*SIZES][:2]:
        picture(root / "test" / name / "1.png")
    picture(root / "train" / "one" / "1.png")
    picture(root / "test" / "one" / "1.png")
    missing, small = problems(root)
    assert "is missing in test; add images, or leave it out with `without_classes: [" in missing
    assert "class 'one' has 1; at least 2 are needed, one for train and one for val" in small


def test_layouts_that_prepare_refuses(photos):
    (photos / "train").mkdir()
    (photos / "val").mkdir()
    (photos / "test").mkdir()
    (problem,) = problems(photos)
    assert "merge a validation folder into 'train'" in problem
    assert problem in refused(photos)


def test_two_forms_of_one_name(photos):
    picture(photos / unicodedata.normalize("NFC", "Äpfel") / "1.png")
    (problem,) = problems(photos)
    assert "holds 2 folders for the class 'Äpfel'; rename one" in problem
    assert "two folders for the class 'Äpfel'" in refused(photos)


def test_hidden_files_and_folders_count_for_nothing(photos):
    picture(photos / "leer" / ".hidden.png")
    picture(photos / "leer" / ".git" / "1.png")
    assert "no image of class 'leer'" in problems(photos)[0]


def test_unreadable_files_stop_unless_they_are_to_be_left_out(photos):
    for name in ("a.jpg", "b.jpg"):
        (photos / "zwei Worte" / name).write_bytes(b"<html>")
    path = photos / "zwei Worte" / "Bild 0.PNG"
    path.write_bytes(path.read_bytes()[:-20])
    (stop,) = inspect(dataset(photos)).stops
    assert stop.startswith("3 files cannot be read; mend or remove them, or set `skip_corrupt:")
    for name in ("a.jpg", "b.jpg", "Bild 0.PNG"):
        assert f"'zwei Worte/{name}': " in stop
    found = inspect(dataset(photos, skip_corrupt=True))
    assert found.stops == []
    assert "they are left out (`skip_corrupt: true`)" in "\n".join(found.notes)


def test_kinds_of_images_are_named_with_what_is_done(photos):
    folder = photos / "zwei Worte"
    picture(folder / "g.png", mode="L")
    picture(folder / "t.png", mode="RGBA")
    picture(folder / "p.gif", mode="P")
    picture(folder / "d.png", mode="I;16")
    exif = Image.Exif()
    exif[274] = 6
    picture(folder / "r.jpg", size=(60, 40), exif=exif)
    (folder / "notes.txt").write_text("x")
    text = notes(photos)
    assert "37 colour" in text
    for part in ("1 grey", "1 16-bit grey (brought to 8 bits)", "1 palette (expanded)",
                 "1 transparent (laid on white)", "three equal channels",
                 "1 image turned upright", "left out: 1 .txt"):  # fmt: skip
        assert part in text, part
    assert "several kinds" in notes(photos, channels=1)


def test_shapes(photos):
    picture(photos / "zwei Worte" / "long.png", size=(90, 40))
    assert "1 of 37 images are longer than wide (or wider)" in notes(photos)
    assert "`aspect: keep`" not in notes(photos, aspect="keep")
    assert "37 of 37 images are smaller than 64 px" in notes(photos, size=64)


def test_uneven_and_small_classes_are_told_with_remedies(photos):
    for i in range(3):
        picture(photos / "winzig" / f"{i}.png")
    text = notes(photos)
    assert "'winzig' (1 to train on, 1 for val, 1 for test)" in text
    remedy = "Set `batches: shuffled` in the recipe, or leave it out with `without_classes: ["
    assert remedy in text and ', "winzig"]`' in text
    assert "`validation_per_class: 1` in the dataset" in notes(photos, validation=0.5)
    assert "classes are uneven" in text and "balanced accuracy" in text
    even = {"without_classes": ("winzig", "Äpfel")}
    assert "uneven" not in notes(photos, **even)


def test_names_that_differ_only_in_case(photos):
    for i in range(5):
        picture(photos / "äpfel" / f"{i}.png", 200 + i)
    assert "classes 'Äpfel' and 'äpfel' differ only in case" in notes(photos)


def test_the_same_bytes_in_train_and_test(photos, tmp_path):
    root = tmp_path / "both"
    root.mkdir()
    photos.rename(root / "train")
    for name in SIZES:
        picture(root / "test" / name / "1.png", 251)
    assert "also in the training folder" not in notes(root)
    own = next((root / "train").rglob("Bild 3.PNG"))
    (root / "test" / "zwei Worte" / "copy.png").write_bytes(own.read_bytes())
    assert "1 test image also in the training folder, byte by byte" in notes(root)
    assert "'test/zwei Worte/copy.png'" in notes(root)


def test_time_is_limited_and_that_is_said(photos):
    found = inspect(dataset(photos), seconds=0)
    assert "only 0 of 36 files" in "\n".join(found.notes)


def test_a_dataset_of_no_folder_is_not_looked_at(tmp_path):
    assert inspect(dataset(tmp_path / "nowhere")) is None


STUDY = """
datasets: {photos: {providers: [{kind: folder, path: photos}], size: 28, channels: 1}}
studies:
  mine:
    title: t
    arms:
      a: {recipe: fast, snapshots: [mnist-cnn@last], targets: [photos], overrides: {batch_size: 60}}
"""


def test_check_tells_everything_in_one_round(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    Path("mine.yaml").write_text(STUDY.replace("60", "52"))
    (photos / "leer").mkdir()
    picture(photos / "klein" / "1.png")
    (photos / "zwei Worte" / "kaputt.jpg").write_bytes(b"")
    done = CliRunner().invoke(app, ["check", "mine", "--configfile", "mine.yaml"])
    text = str(done.exception)
    for part in ("no image of class 'leer'", "class 'klein' has 1", "batch_size 52",
                 "'zwei Worte/kaputt.jpg': the file is empty", "skip_corrupt: true",
                 "Also seen there:"):  # fmt: skip
        assert part in text, part


def test_check_shows_the_plan_and_then_what_would_stop_it(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    Path("mine.yaml").write_text(STUDY)
    (photos / "zwei Worte" / "kaputt.jpg").write_bytes(b"")
    done = CliRunner().invoke(app, ["check", "mine", "--configfile", "mine.yaml"])
    assert "Runs of mine" in done.output
    assert str(done.exception).startswith("snakemake would stop:\n  photos: 1 file cannot be read;")
    (photos / "zwei Worte" / "kaputt.jpg").unlink()
    done = CliRunner().invoke(app, ["check", "mine", "--configfile", "mine.yaml"])
    assert done.exit_code == 0, done.exception
    assert "photos: classes are" in done.output or "photos: few" in done.output
