"""Choosing, decoding and describing."""

import dataclasses
import errno

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fastpipe.config.dataset import Dataset, SklearnProvider
from fastpipe.data.arrays import load_split
from fastpipe.data.preparation import (
    Chosen,
    Written,
    card,
    choose,
    refuse_unreadable,
    write_split,
)
from fastpipe.data.providers.images import converted
from fastpipe.data.providers.provided import Failure, ImagePictures, PixelPictures, Provided
from fastpipe.errors import UserError

DIGITS = SklearnProvider(kind="sklearn", name="digits")
NAMES = ["a", "b", "c", "d"]


def _options(**options):
    return Dataset(**{"providers": (DIGITS,), "size": 4, "channels": 1} | options)


def _pictures(labels):
    """4 × 4 pictures that all differ."""
    pixels = np.arange(len(labels), dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    return PixelPictures(np.tile(pixels, 8).reshape(-1, 4, 4), np.array(labels, dtype=np.int64))


def _provided(train, test=None, classes=None):
    labels = np.repeat(np.arange(len(train)), train)
    tests = None if test is None else _pictures(np.repeat(np.arange(len(test)), test))
    return Provided(classes or NAMES[: len(train)], _pictures(labels), tests)


def _counts(chosen, classes):
    return np.bincount(chosen.labels, minlength=len(classes)).tolist()


counts = st.lists(st.integers(3, 60), min_size=2, max_size=4)
hundredths = st.integers(1, 60).map(lambda number: number / 100)


@settings(deadline=None, max_examples=60)
@given(counts, hundredths, hundredths, st.integers(0, 5))
def test_splits_are_disjoint_complete_and_stratified(counts, test, validation, seed):
    provided = _provided(counts)
    try:
        classes, splits = choose(_options(test=test, validation=validation, seed=seed), provided)
    except UserError as error:
        assert "one for train and one for val" in str(error)
        return
    together = np.concatenate([splits[split].indices for split in splits])
    assert sorted(together) == list(range(sum(counts)))
    remaining = [n - h for n, h in zip(counts, _counts(splits["test"], classes), strict=True)]
    for chosen, whole, fraction in (
        (splits["test"], counts, test),
        (splits["val"], remaining, validation),
    ):
        for count, held in zip(whole, _counts(chosen, classes), strict=True):
            assert abs(held - fraction * count) < 1 + 1e-9
            assert held >= 1
    for chosen in splits.values():
        assert (chosen.labels == provided.train.labels[chosen.indices]).all()
        assert (np.diff(chosen.indices) > 0).all()


@settings(deadline=None, max_examples=30)
@given(counts, st.integers(1, 20), st.booleans())
def test_the_test_limit_moves_no_training_image(counts, limit, own_test):
    provided = _provided(counts, test=counts if own_test else None)
    try:
        _, free = choose(_options(), provided)
    except UserError:
        return
    _, limited = choose(_options(test_per_class=limit), provided)
    _, less_limited = choose(_options(test_per_class=limit + 1), provided)
    assert set(limited["test"].indices) <= set(less_limited["test"].indices)
    for split in ("train", "val"):
        assert free[split].indices.tolist() == limited[split].indices.tolist()
    assert set(limited["test"].indices) <= set(free["test"].indices)
    expected = [min(limit, count) for count in _counts(free["test"], counts)]
    assert _counts(limited["test"], counts) == expected


def test_limits_are_nested_and_leave_the_test_split_alone():
    provided = _provided([50, 60])
    few, more = (choose(_options(train_per_class=n), provided)[1] for n in (10, 20))
    assert few["test"].indices.tolist() == more["test"].indices.tolist()
    taken = [set(s["train"].indices) | set(s["val"].indices) for s in (few, more)]
    assert taken[0] < taken[1]
    assert [len(t) for t in taken] == [20, 40]


def test_a_class_subset_keeps_its_order_and_its_images():
    provided = _provided([20, 20, 20], test=[5, 5, 5])
    _, everything = choose(_options(), provided)
    classes, some = choose(_options(classes=("c", "a")), provided)
    assert classes == ["c", "a"]
    assert _counts(some["train"], classes) == [19, 19]
    for split in ("train", "val", "test"):
        original = everything[split]
        kept = original.indices[np.isin(original.labels, [0, 2])]
        assert some[split].indices.tolist() == kept.tolist()
        swapped = {0: 1, 2: 0}
        labels = original.labels[np.isin(original.labels, [0, 2])]
        assert some[split].labels.tolist() == [swapped[label] for label in labels]


def test_a_seed_changes_the_split():
    provided = _provided([30, 30])
    one, other = (choose(_options(seed=seed), provided)[1] for seed in (0, 1))
    assert set(one["test"].indices) != set(other["test"].indices)


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    ("provided", "options", "message"),
    [
        (_provided([9, 9]), {"classes": ("a", "B")}, "no class 'B' among the 2 classes provided"),
        (_provided([9, 9], classes=["cat", "dog"]), {"classes": ("cats",)}, "did you mean 'cat'"),
        (_provided([9, 9]), {"classes": ("a", "b", "a")}, "class 'a' occurs twice"),
        (_provided([9]), {}, r"at least two classes, this has only \['a'\]"),
        (_provided([9, 9]), {"classes": ("b",)}, r"at least two classes, this has only \['b'\]"),
        (_provided([9, 0, 0]), {}, "no image in train of class 'b', 'c'"),
        (_provided([9, 9], test=[9, 0]), {}, "no image in test of class 'b'"),
        (_provided([9, 2]), {}, "class 'b' has 2; at least 3 .* one each for train, val and test"),
        (_provided([9, 9]), {"without_classes": ("C",)}, "no class 'C' among the 2 classes provid"),
        (_provided([9, 9]), {"without_classes": ("b",)}, r"two classes, this has only \['a'\]"),
        (
            _provided([9, 4], test=[1, 1]),
            {"validation_per_class": 4},
            r"class 'b' has 4; at least 5 are needed, 4 for val \(validation_per_class\) and one",
        ),
        (_provided([9, 1], test=[1, 1]), {}, "class 'b' has 1; .* val, which would be empty"),
        (_provided([9, 4]), {"test": 0.7}, "class 'b' has 1; .* val, which would be empty"),
        (_provided([9, 9, 9], classes=["a", "b"]), {}, "9 labels in train are out of range: image"),
        (
            _provided([9, 9], test=[1, 1, 2]),
            {},
            "2 labels in test .* image 2 has label 2, but .* 1",
        ),
    ],
)
def test_mistakes_name_class_and_split(provided, options, message):
    with pytest.raises(UserError, match=message):
        choose(_options(**options), provided)


def test_exactly_so_many_validation_images_of_each_class():
    provided = _provided([9, 30, 12], test=[1, 1, 1])
    classes, splits = choose(_options(validation_per_class=4, validation=0.9), provided)
    assert _counts(splits["val"], classes) == [4, 4, 4]
    assert _counts(splits["train"], classes) == [5, 26, 8]
    _, cut = choose(_options(validation_per_class=4, train_per_class=6), provided)
    assert _counts(cut["val"], classes) == [4, 4, 4]
    assert _counts(cut["train"], classes) == [2, 2, 2]
    assert set(cut["val"].indices) == set(splits["val"].indices)


def test_a_class_left_out_moves_no_image_of_another():
    provided = _provided([9, 30, 12])
    everything = choose(_options(), provided)[1]
    classes, splits = choose(_options(without_classes=("b",)), provided)
    assert classes == ["a", "c"]
    assert splits["train"].labels.max() == 1
    for split in ("test", "val"):
        kept = everything[split]
        assert set(splits[split].indices) <= set(kept.indices[kept.labels != 1])


def test_a_class_of_files_that_are_no_images_is_explained():
    provided = dataclasses.replace(_provided([9, 0]), other_files={".txt": 3, ".raw": 9})
    with pytest.raises(UserError, match=r"suffix were left out: 3 \.txt, 9 \.raw\."):
        choose(_options(), provided)


def test_negative_labels_are_out_of_range():
    pictures = _pictures([0, 1, -1, 0, 1, 0, 1])
    with pytest.raises(UserError, match="1 labels in train are out of range: image 2 has label -1"):
        choose(_options(), Provided(["a", "b"], pictures, None))


class _Patchy:
    """Pictures some of which cannot be read; the others show their number."""

    def __init__(self, count, broken):
        self.labels, self.broken = np.arange(count) % 2, set(broken)

    def fill(self, rows, indices, aspect="stretch"):
        failures = []
        for position, index in enumerate(indices.tolist()):
            if index in self.broken:
                failures.append(Failure(position, f"file {index}", "torn"))
            else:
                rows[position] = index % 251
        return failures


def _write(folder, pictures, options=None, **settings):
    indices = np.arange(len(pictures.labels))
    chosen = Chosen(pictures, indices, pictures.labels)
    paths = folder / "train-images.npy", folder / "train-labels.npy"
    return write_split(chosen, options or _options(), *paths, **settings)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("broken", [(), (0,), (1, 5, 6, 299), range(300)])
def test_unreadable_pictures_leave_no_gap(tmp_path, monkeypatch, threads, broken):
    monkeypatch.setattr("fastpipe.data.preparation._BLOCK_BYTES", 7 * 16)
    pictures, told = _Patchy(300, broken), []
    written = _write(tmp_path, pictures, threads=threads, advance=told.append)
    kept = [index for index in range(300) if index not in broken]
    images = np.load(tmp_path / "train-images.npy", mmap_mode="r")
    assert images.shape == (len(kept), 4, 4, 1)
    assert images[:, 0, 0, 0].tolist() == [index % 251 for index in kept]
    assert np.load(tmp_path / "train-labels.npy").tolist() == [index % 2 for index in kept]
    assert [failure.source for failure in written.unreadable] == [f"file {i}" for i in broken]
    assert sum(told) == 300


def test_threads_and_blocks_change_no_byte(tmp_path, monkeypatch):
    contents = set()
    for threads, block_bytes in ((1, 1), (1, 1 << 20), (4, 100)):
        monkeypatch.setattr("fastpipe.data.preparation._BLOCK_BYTES", block_bytes)
        written = _write(tmp_path, _Patchy(99, [3]), threads=threads)
        files = tuple(path.read_bytes() for path in sorted(tmp_path.glob("*.npy")))
        contents.add((files, str(written.mean_and_std())))
    assert len(contents) == 1


def test_the_file_is_what_numpy_writes(tmp_path):
    _write(tmp_path, _Patchy(99, [3]))
    images = np.load(tmp_path / "train-images.npy")
    np.save(tmp_path / "again.npy", images)
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "train-images.npy").read_bytes()
    assert len(load_split(tmp_path, "train")) == 98


@given(st.data())
@settings(deadline=None, max_examples=20)
def test_mean_and_deviation_are_numpys(tmp_path_factory, data):
    seed, channels = data.draw(st.integers(0, 99)), data.draw(st.sampled_from([1, 3]))
    pixels = np.random.default_rng(seed).integers(256, size=(9, 4, 4, 3), dtype=np.uint8)
    pixels = pixels if channels == 3 else pixels[..., 0]
    folder = tmp_path_factory.mktemp("x")
    written = _write(folder, PixelPictures(pixels, np.zeros(9, int)), _options(channels=channels))
    mean, std = written.mean_and_std()
    images = np.load(folder / "train-images.npy") / 255
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, images.std(axis=(0, 1, 2)), rtol=1e-9)


@pytest.mark.parametrize(
    ("transforms", "expected"),
    [
        ((), lambda x: x),
        (("rotate-180",), lambda x: np.rot90(x, 2, axes=(1, 2))),
        (("invert",), lambda x: 255 - x),
        (("invert", "rotate-180", "invert"), lambda x: np.rot90(x, 2, axes=(1, 2))),
    ],
)
def test_transforms(tmp_path, transforms, expected):
    pixels = np.random.default_rng(0).integers(256, size=(5, 4, 4, 3), dtype=np.uint8)
    pictures = PixelPictures(pixels, np.zeros(5, dtype=int))
    _write(tmp_path, pictures, _options(channels=3, transforms=transforms))
    np.testing.assert_array_equal(np.load(tmp_path / "train-images.npy"), expected(pixels))


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_resized_and_recoloured(tmp_path, channels):
    pictures = PixelPictures(np.full((2, 8, 6), 90, dtype=np.uint8), np.array([0, 1]))
    _write(tmp_path, pictures, _options(channels=channels, size=5))
    images = np.load(tmp_path / "train-images.npy")
    assert images.shape == (2, 5, 5, channels)
    assert (images == 90).all()


@pytest.mark.parametrize("length", [4, 8])
def test_a_margin_is_black_and_the_image_fills_the_rest(tmp_path, length):
    pictures = PixelPictures(np.full((2, length, length), 90, dtype=np.uint8), np.array([0, 1]))
    _write(tmp_path, pictures, _options(size=8, margin=2))
    images = np.load(tmp_path / "train-images.npy")
    expected = np.zeros((2, 8, 8, 1), dtype=np.uint8)
    expected[:, 2:6, 2:6] = 90
    np.testing.assert_array_equal(images, expected)


def test_a_full_disk_while_writing_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    class Full:
        def write(self, content):
            raise OSError(errno.ENOSPC, "no space left on device")

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    monkeypatch.setattr("pathlib.Path.open", lambda self, mode: Full())
    with pytest.raises(UserError, match=r"no space left .* while writing .*train-images\.npy"):
        _write(tmp_path, _Patchy(9, []))


def _notes(*images, unreadable=()):
    """Written(…) of (fingerprint, label) pairs."""
    return Written(
        labels=[label for _, label in images],
        fingerprints=[mark for mark, _ in images],
        unreadable=list(unreadable),
        histogram=np.eye(1, 256, dtype=np.int64),
    )


@pytest.mark.fault(16)
def test_every_unreadable_picture_of_every_split_is_named():
    written = {
        "train": _notes((b"1", 0), (b"2", 1), unreadable=[Failure(0, "x\n.png", "torn")]),
        "test": _notes((b"3", 0), unreadable=[Failure(i, f"{i}.png", "empty") for i in range(50)]),
    }
    with pytest.raises(UserError) as caught:
        refuse_unreadable(written, ["a", "b"], skip=False)
    lines = str(caught.value).splitlines()
    assert lines[0] == "51 images cannot be read:"
    assert lines[1] == r"  'x\n.png' (train): torn"
    assert lines[51] == "  '49.png' (test): empty"
    assert "skip_corrupt: true" in lines[52]
    with pytest.raises(UserError, match="no readable image is left of class 'b' in test"):
        refuse_unreadable(written, ["a", "b"], skip=True)
    refuse_unreadable({"train": written["train"]}, ["a", "b"], skip=True)


@pytest.mark.fault(19)
def test_the_card_counts_duplicates_and_contradictions():
    written = {
        "train": _notes((b"1", 0), (b"2", 1), (b"2", 1), (b"5", 0)),
        "val": _notes((b"2", 1), (b"4", 0)),
        "test": _notes((b"1", 1), (b"1", 1), (b"4", 0), (b"9", 0)),
    }
    found = card("x", _options(), "here", _provided([1, 1]), ["a", "b"], written)
    assert found["duplicates"] == {"test_in_train": 2, "test_in_val": 1, "val_in_train": 1}
    assert found["images_with_several_labels"] == 1
    assert found["per_class"] == {"train": [2, 2], "val": [1, 1], "test": [2, 2]}
    assert found["images"] == {"train": 4, "val": 2, "test": 4}


@pytest.mark.parametrize("margin", [0, 2])
def test_aspect_decides_how_pictures_become_squares(tmp_path, margin):
    wide = Image.fromarray(np.repeat(np.arange(40, dtype=np.uint8)[None], 10, axis=0))
    pictures = ImagePictures(lambda index: wide, str, np.zeros(1, np.int64))
    inner = slice(margin, 10 - margin)
    for aspect in ("stretch", "keep"):
        options = _options(size=10, margin=margin, aspect=aspect)
        chosen = Chosen(pictures, np.zeros(1, np.int64), np.zeros(1, np.int64))
        write_split(chosen, options, tmp_path / "i.npy", tmp_path / "l.npy")
        stored = np.load(tmp_path / "i.npy")[0, inner, inner]
        expected = converted(wide, 10 - 2 * margin, 1, aspect)
        np.testing.assert_array_equal(stored, expected)
        spread = int(stored.max()) - int(stored.min())
        assert spread > 30 if aspect == "stretch" else spread < 12


class _Corners(_Patchy):
    """Every pixel tells its place."""

    def fill(self, pixels, indices, aspect="stretch"):
        side = pixels.shape[1]
        pixels[:] = np.arange(side * side).reshape(side, side)[..., None]
        return []


def test_networks_see_the_middle_but_training_images_are_kept_whole(tmp_path):
    options = _options(size=6, view=4)
    whole = _write(tmp_path, _Corners(4, ()), options, whole=True)
    assert np.load(tmp_path / "train-images.npy").shape == (4, 6, 6, 1)
    middle = _write(tmp_path, _Corners(4, ()), options, whole=False)
    images = np.load(tmp_path / "train-images.npy")
    assert images.shape == (4, 4, 4, 1)
    assert images[0, ..., 0].tolist() == [[6 * y + x for x in range(1, 5)] for y in range(1, 5)]
    assert whole.fingerprints == middle.fingerprints  # so that a copy in another split is found
