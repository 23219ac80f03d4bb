"""The stage `prepare`, from a spec to files and records."""

import json

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from fastpipe.data.arrays import load_split
from fastpipe.errors import UserError
from fastpipe.files import digest, read_json
from fastpipe.integrity import verify
from fastpipe.stages.prepare import PrepareSpec, part_specs, prepare

SPLITS = ("train", "val", "test")
DIGITS = {"dataset": "digits", "providers": [{"kind": "sklearn", "name": "digits"}], "size": 8}


def _spec(**options):
    return PrepareSpec.model_validate_json(json.dumps(DIGITS | {"channels": 1} | options))


def _prepare(tmp_path, name="out", **options):
    out = tmp_path / name
    prepare(
        _spec(**options),
        out=out,
        downloads=tmp_path / "downloads",
        work=tmp_path / "work",
        identity={split: f"identity of {split}" for split in SPLITS},
    )
    return out


def test_digits(tmp_path):
    out = _prepare(tmp_path)
    files = {f"{split}-{part}.npy" for split in SPLITS for part in ("images", "labels")}
    records = {f"prepare-{split}.json" for split in SPLITS}
    visible = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert visible == files | records | {"card.json", "prepare.timing.json"}
    splits = {split: load_split(out, split) for split in SPLITS}
    assert {split: len(content) for split, content in splits.items()} == {
        "train": 1365,
        "val": 72,
        "test": 360,
    }
    for split, content in splits.items():
        record = read_json(out / f"prepare-{split}.json")
        assert set(verify(out / f"prepare-{split}.json")) == set(record["outputs"])
        assert record["identity"] == f"identity of {split}"
        assert record["facts"]["count"] == len(content) == sum(record["facts"]["per_class"])
        assert record["facts"]["classes"] == [str(digit) for digit in range(10)]
        assert record["facts"]["per_class"] == content.labels.bincount().tolist()
        assert (record["facts"]["size"], record["facts"]["channels"]) == (8, 1)
    facts = read_json(out / "prepare-train.json")["facts"]
    pixels = splits["train"].images.double() / 255
    assert facts["mean"] == pytest.approx([pixels.mean().item()])
    assert facts["std"] == pytest.approx([pixels.std(correction=0).item()])
    assert "mean" not in read_json(out / "prepare-val.json")["facts"]
    assert "card.json" in read_json(out / "prepare-test.json")["outputs"]
    assert not list((tmp_path / "work").glob("*/out"))


def test_the_same_spec_gives_the_same_bytes(tmp_path):
    one, other = (_prepare(tmp_path, name) for name in ("one", "other"))
    for path in one.glob("[!.]*.npy"):
        assert digest(path) == digest(other / path.name)
    for name in ("card.json", "prepare-train.json", "prepare-val.json", "prepare-test.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.parametrize("changed", [{"test_per_class": 7}, {"test_per_class": 1}])
def test_another_number_of_test_images_leaves_training_records_alone(tmp_path, changed):
    one, other = _prepare(tmp_path, "one"), _prepare(tmp_path, "other", **changed)
    for split in ("train", "val"):
        name = f"prepare-{split}.json"
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert (one / "prepare-test.json").read_bytes() != (other / "prepare-test.json").read_bytes()
    assert len(load_split(other, "test")) == 10 * changed["test_per_class"]


def test_records_name_what_was_asked_for():
    spec = _spec(test_per_class=5)
    parts = part_specs(spec)
    assert parts["test"] == spec.model_dump(mode="json")
    for split in ("train", "val"):
        assert set(parts["test"]) - set(parts[split]) == {"test_per_class", "strict"}


def test_any_other_option_changes_the_training_record():
    plain = part_specs(_spec())["train"]
    for option in (
        {"size": 9},
        {"channels": 3},
        {"classes": ["1", "2"]},
        {"train_per_class": 9},
        {"validation": 0.1},
        {"test": 0.3},
        {"seed": 1},
        {"transforms": ["invert"]},
        {"skip_corrupt": True},
        {"dataset": "x"},
    ):
        assert part_specs(_spec(**option))["train"] != plain


def test_specs_are_strict():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        _spec(sice=4)
    with pytest.raises(ValidationError, match="valid integer"):
        _spec(size="28")


def _folder(tmp_path):
    """Two classes of 12 images in a folder, in every mode, with hostile names."""
    root, stream = tmp_path / "my images", np.random.default_rng(0)
    modes = ["RGB", "L", "P", "RGBA", "CMYK", "I;16"]
    for name in ("</script>", "Äpfel & $(x)"):
        folder = root / name.replace("/", "∕")
        folder.mkdir(parents=True)
        for number in range(12):
            mode = modes[number % len(modes)]
            shape = (10 + number, 12) if mode == "I;16" else (10 + number, 12, 3)
            kind = np.uint16 if mode == "I;16" else np.uint8
            image = Image.fromarray(stream.integers(np.iinfo(kind).max, size=shape, dtype=kind))
            image = image if mode == "I;16" else image.convert(mode)
            image.save(folder / f"{number} ü.{'tif' if mode == 'CMYK' else 'png'}")
    return root


def _from(root):
    return {"providers": [{"kind": "folder", "path": str(root)}], "channels": 3, "dataset": "mine"}


def test_a_folder_of_mixed_images(tmp_path):
    out = _prepare(tmp_path, **_from(_folder(tmp_path)))
    assert {split: len(load_split(out, split)) for split in SPLITS} == {
        "train": 17,
        "val": 2,
        "test": 5,
    }
    assert load_split(out, "train").images.shape == (17, 3, 8, 8)
    card = read_json(out / "card.json")
    assert card["classes"] == ["<∕script>", "Äpfel & $(x)"]
    assert card["unreadable_count"] == 0


def _break(root):
    folder = sorted(root.iterdir())[0]
    good = (folder / "0 ü.png").read_bytes()
    (folder / "empty.png").touch()
    (folder / "torn.png").write_bytes(good[: len(good) // 2])
    (folder / "page.jpg").write_text("<!DOCTYPE html>")
    (folder / "notes.txt").write_text("not an image")
    return ["empty.png", "torn.png", "page.jpg"]


def test_broken_images_are_all_named_and_nothing_is_written(tmp_path):
    root = _folder(tmp_path)
    broken = _break(root)
    with pytest.raises(UserError) as caught:
        _prepare(tmp_path, **_from(root))
    assert "3 images cannot be read" in str(caught.value)
    assert "notes.txt" not in str(caught.value)
    assert all(name in str(caught.value) for name in broken)
    assert list((tmp_path / "out").iterdir()) == []


def test_broken_images_are_counted_when_skipped(tmp_path):
    root = _folder(tmp_path)
    broken = _break(root)
    out = _prepare(tmp_path, skip_corrupt=True, **_from(root))
    card = read_json(out / "card.json")
    assert card["unreadable_count"] == 3
    assert (card["other_files"], card["other_files_count"]) == ({".txt": 1}, 1)
    assert sorted(entry["image"].split("/")[-1] for entry in card["unreadable"]) == sorted(broken)
    assert sum(card["images"].values()) == 24
    assert sum(len(load_split(out, split)) for split in SPLITS) == 24


def test_an_earlier_result_survives_a_failure(tmp_path):
    root = _folder(tmp_path)
    out = _prepare(tmp_path, **_from(root))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    _break(root)
    with pytest.raises(UserError, match="cannot be read"):
        _prepare(tmp_path, **_from(root))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_copied_image_is_counted_as_duplicate(tmp_path):
    root = tmp_path / "root"
    for split in ("train", "test"):
        for value, name in enumerate("ab"):
            (root / split / name).mkdir(parents=True)
            for number in range(4):
                colour = (value * 100, number * 20, 60 if split == "test" and number else 0)
                Image.new("RGB", (8, 8), colour).save(root / split / name / f"{number}.png")
    card = read_json(_prepare(tmp_path, **_from(root)) / "card.json")
    duplicates = card["duplicates"]
    assert duplicates["test_in_train"] + duplicates["test_in_val"] == 2
    assert duplicates["val_in_train"] == 0
