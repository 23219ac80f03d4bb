"""Rows 16 to 20: images that are broken, bombs, missing, repeated or of an unusual kind."""

import itertools
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fastpipe.cli import app
from fastpipe.config.folders import folder_problems
from fastpipe.data.arrays import load_split
from fastpipe.data.preparation import choose
from fastpipe.data.providers.from_folder import provide_folder
from fastpipe.data.providers.images import converted, open_image
from fastpipe.errors import UserError
from fastpipe.files import read_json
from fastpipe.stages.prepare import PrepareSpec, prepare

SIDE = 12


def noise(seed: int = 0, shape: tuple[int, ...] = (SIDE, SIDE, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)


def write_images(folder: Path, count: int, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.fromarray(noise(number)).save(folder / f"{number}.png")


def write_classes(root: Path) -> Path:
    for label, name in enumerate(("cat", "dog")):
        write_images(root / "train" / name, 8, 100 * label)
        write_images(root / "test" / name, 4, 100 * label + 50)
    return root


@pytest.fixture
def images(tmp_path) -> Path:
    return write_classes(tmp_path / "images")


def spec(root: Path, **options) -> PrepareSpec:
    provider = {"kind": "folder", "path": str(root)}
    whole = {"dataset": "own", "providers": [provider], "size": SIDE, "validation": 0.25}
    return PrepareSpec.model_validate_json(json.dumps(whole | options))


def prepared(root: Path, name: str = "out", **options) -> Path:
    out = root.parent / name
    prepare(
        spec(root, **options),
        out=out,
        downloads=root.parent / "downloads",
        work=root.parent / "work",
        identity={split: split for split in ("train", "val", "test")},
    )
    return out


def refusal(root: Path, **options) -> str:
    with pytest.raises(UserError) as caught:
        prepared(root, **options)
    return str(caught.value)


# --- 16: what is no image -------------------------------------------------------------------------


def encoded(suffix: str) -> bytes:
    file = Path(f"/proc/self/fd/{os.memfd_create('image')}")
    Image.fromarray(noise(7, (64, 64, 3))).save(file, format=suffix)
    content = file.read_bytes()
    os.close(int(file.name))
    return content


TEXTS = {
    "page.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "empty.jpg": b"",
    "text.png": b"this is not an image\n" * 40,
    "archive.png": b"PK\x03\x04" + bytes(200),
    "document.png": b"%PDF-1.7\n" + bytes(range(256)),
    "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>',
    "printed.tif": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage",
    "film.gif": b"\0\0\0\x18ftypmp42" + bytes(100),
    "zeros.bmp": bytes(4000),
    "nameless": b"\x7fELF" + bytes(60),
}


def break_some(root: Path, random, cuts: int) -> set[str]:
    """Put broken files among the images; their names."""
    places = [f"{split}/{name}" for split in ("train", "test") for name in ("cat", "dog")]
    broken = {}
    for name, content in TEXTS.items():
        broken[f"{random.choice(places)}/{name}"] = content
    kinds = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
    for number in range(cuts):
        whole = encoded(kinds[number % len(kinds)])
        # Pillow, like any decoder, does not miss the last few bytes of some formats.
        length = random.randrange(1, len(whole) * 9 // 10)
        broken[f"{random.choice(places)}/cut {number}.png"] = whole[:length]
    for name, content in broken.items():
        (root / name).write_bytes(content)
    (root / "train/cat/lost.png").symlink_to("nowhere.png")
    (root / "test/dog/endless.png").symlink_to("/dev/zero")
    os.mkfifo(root / "train/dog/pipe.png")
    with (root / "train/dog/vast.png").open("wb") as file:
        file.truncate(1 << 40)
    more = ("train/cat/lost.png", "test/dog/endless.png", "train/dog/pipe.png")
    return {*broken, *more, "train/dog/vast.png"}


@pytest.mark.fault(16)
@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_every_broken_file_is_in_one_list_or_counted_if_asked(images, tally):
    for place in ("train/cat", "train/dog"):  # some of each class are left for every split
        write_images(images / place, 60, first=1000)
    broken = break_some(images, tally.random, tally.times(12, 60))
    told = refusal(images)
    assert told.startswith(f"{len(broken)} images cannot be read:\n")
    assert all(f"  {name!r} ({name.split('/')[0]}" in told or name in told for name in broken)
    assert len([line for line in told.splitlines() if line.startswith("  ")]) == len(broken)
    assert "set `skip_corrupt: true` to leave them out" in told
    card = read_json(prepared(images, skip_corrupt=True) / "card.json")
    assert {entry["image"] for entry in card["unreadable"]} == broken
    assert card["unreadable_count"] == len(broken)
    assert sum(card["images"].values()) == 24 + 120
    tally.add("broken files", len(broken))
    tally.add("not listed", 0)


@pytest.mark.fault(16)
@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_check_lists_them_and_counts_only_images(images, tally, monkeypatch):
    broken = break_some(images, tally.random, 6)
    monkeypatch.chdir(images.parent)
    config = {
        "datasets": {"own": spec(images).model_dump(mode="json", exclude={"dataset"})},
        "sources": {"net": {"dataset": "own", "snapshots": [0], "epochs": 0}},
        "studies": {
            "mine": {
                "title": "Mine",
                "arms": {"a": {"recipe": "r", "snapshots": ["net@0"], "targets": ["own"]}},
            }
        },
        "recipes": {"r": {"batch_size": 4}},
    }
    Path("c.json").write_text(json.dumps(config))
    done = CliRunner().invoke(
        app, ["check", "mine", "--configfile", "c.json"], env={"COLUMNS": "200"}
    )
    assert isinstance(done.exception, UserError)
    assert f"own: {len(broken)} files cannot be read; mend or remove" in str(done.exception)
    row = next(line.split() for line in done.output.splitlines() if line.startswith("own "))
    counts = read_json(prepared(images, skip_corrupt=True) / "card.json")["images"]
    assert row[1:4] == [str(counts[split]) for split in ("train", "val", "test")]
    assert sum(counts.values()) == 24


# --- 17: bombs ------------------------------------------------------------------------------------


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG written by hand: filter 0 in each row, `more` chunks before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = b"IDAT" + zlib.compress(rows)
    chunks = (b"IHDR" + header, *more, data, b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


def tiff(width: int, height: int) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (278, height)]
    tags += [(279, width * height & 0xFFFFFFFF)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def bombs(side: int) -> dict[str, bytes]:
    """Files of a few bytes that claim side × side pixels."""
    riff = b"WEBPVP8X" + struct.pack("<IB3x", 10, 0)
    riff += (side - 1).to_bytes(3, "little") * 2 + b"ALPH\0\0\0\0VP8 " + struct.pack("<I", 10)
    riff += b"\x30\x01\x00\x9d\x01\x2a\xff\x3f\xff\x3f"
    frame = struct.pack(">HBHHB", 11, 8, side, side, 1) + b"\x01\x11\0"
    return {
        "bomb.png": png(side, side, 8, 0, bytes(10_000)),
        "bomb16.png": png(side, side, 16, 6, bytes(10_000)),
        "bomb.gif": b"GIF89a" + struct.pack("<HHBBB", side, side, 0, 0, 0)
        + b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02D\x01\0;",
        "bomb.tif": tiff(side, side),
        "bomb.bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 1 << 20, 0, 54, 40, side, side, 1, 24,
                                        0, 0, 0, 0, 0, 0),
        "bomb.ppm": b"P6 %d %d 255\n" % (side, side) + bytes(99),
        "bomb.jpg": b"\xff\xd8\xff\xc0" + frame + b"\xff\xd9",
        "bomb.webp": b"RIFF" + struct.pack("<I", len(riff)) + riff,
    }  # fmt: skip


@pytest.mark.fault(17)
def test_bombs_are_refused_with_path_and_size(images, tally):
    files = bombs(60_000)
    for name, content in files.items():
        (images / "train/cat" / name).write_bytes(content)
        assert len(content) < 2000
    told = refusal(images)
    assert told.startswith(f"{len(files)} images cannot be read:\n")
    sides = dict.fromkeys(files, "3,600,000,000 pixels, more than the 80,000,000 allowed")
    sides["bomb.webp"] = ""  # its decoder refuses first: 16,383 pixels a side are the most
    for name, why in sides.items():
        (line,) = [line for line in told.splitlines() if repr(f"train/cat/{name}") in line]
        assert why in line
    tally.add("bombs", len(files))
    tally.add("decoded", 0)


MEASURE = """
import resource, sys
from pathlib import Path
from PIL import Image
from fastpipe.data.providers.images import UnreadableError, converted, open_image
open_image(Path(sys.argv[1]) / "fine.png")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).glob("bomb*")):
    try:
        converted(open_image(path), 8, 3)
        print("read", path)
    except UnreadableError:
        pass
print("grown by MiB", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.fault(17)
def test_bombs_take_no_memory(tmp_path):
    stuffed = zlib.compress(bytes(200 << 20))  # 200 MiB of text and of a colour profile
    text, profile = b"zTXta\0\0" + stuffed, b"iCCPa\0\0" + stuffed
    rows = (b"\0" + bytes(4 * 3)) * 4
    files = bombs(60_000) | {
        "bomb-text.png": png(4, 4, 8, 2, rows, text),
        "bomb-profile.png": png(4, 4, 8, 2, rows, profile),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    Image.fromarray(noise()).save(tmp_path / "fine.png")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    *read, grown = done.stdout.splitlines()
    assert [line for line in read if "-" not in line] == []  # a profile may be ignored, not decoded
    assert int(grown.rpartition(" ")[2]) < 60


# --- 18: classes and splits -----------------------------------------------------------------------


def lack_a_folder(root: Path) -> None:
    for file in (root / "test/dog").iterdir():
        file.unlink()
    (root / "test/dog").rmdir()


def empty(root: Path, *places: str) -> None:
    for place in places:
        for file in (root / place).iterdir():
            file.unlink()


def keep_one(root: Path) -> None:
    for file in sorted((root / "train/dog").iterdir())[1:]:
        file.unlink()


LACKING = [
    (lack_a_folder, {}, ["class 'dog' is missing in test"]),
    (lambda root: empty(root, "test/dog"), {}, ["no image in test of class 'dog'"]),
    (lambda root: empty(root, "train/cat"), {}, ["no image in train of class 'cat'"]),
    (
        lambda root: empty(root, "train/cat", "test/dog"),
        {},
        ["no image in train of class 'cat'", "no image in test of class 'dog'"],
    ),
    (keep_one, {}, ["class 'dog' has 1; at least 2 are needed, one for train and one for val"]),
    (lambda root: None, {"classes": ["cat"]}, ["at least two classes, this has only ['cat']"]),
    (lambda root: None, {"without_classes": ["cat"]}, ["this has only ['dog']"]),
]


@pytest.mark.fault(18)
@pytest.mark.parametrize(("change", "options", "told"), LACKING)
def test_what_is_lacking_is_told_with_class_and_split(images, change, options, told):
    change(images)
    said = refusal(images, **options)
    assert all(text in said for text in told)
    if not options:  # and before any job: the configuration is refused
        before = " ".join(message for _, message in folder_problems(spec(images)))
        for text in told:
            assert re.search("'(cat|dog)'", text)[0] in before
            assert f"{images}/" in before or "missing in test" in before


@pytest.mark.fault(18)
def test_a_class_of_nothing_but_broken_images_is_told(images):
    for file in (images / "test/dog").iterdir():
        file.write_bytes(b"")
    said = refusal(images, skip_corrupt=True)
    assert "no readable image is left of class 'dog' in test" in said


@pytest.mark.fault(18)
def test_labels_are_those_of_the_names_in_every_split(images):
    """A class that one split lacks must not shift the labels of those after it."""
    write_images(images / "train" / "bird", 8, 700)
    write_images(images / "test" / "bird", 4, 750)
    options = spec(images, without_classes=["bird"])
    classes, splits = choose(options, provide_folder(options.providers[0], {}))
    assert classes == ["cat", "dog"]
    for chosen in splits.values():
        for index, label in zip(chosen.indices.tolist(), chosen.labels.tolist(), strict=True):
            assert f"/{classes[label]}/" in chosen.pictures.source(index)


# --- 19: repeated images --------------------------------------------------------------------------


def repeat(root: Path) -> None:
    """One test image that is also trained on, one image with two labels in training."""
    folder = root / "test/cat"
    (folder / "seen.png").write_bytes((root / "train/cat/0.png").read_bytes())
    (root / "train/dog/cat.png").write_bytes((root / "train/cat/1.png").read_bytes())


@pytest.mark.fault(19)
def test_repeated_images_are_counted_or_refused(images):
    plain = prepared(images, "plain", strict=True)
    repeat(images)
    card = read_json(prepared(images, "counted") / "card.json")
    duplicates = card["duplicates"]
    assert duplicates["test_in_train"] + duplicates["test_in_val"] == 1
    assert card["images_with_several_labels"] == 1
    before = {path.name: path.read_bytes() for path in plain.iterdir()}
    with pytest.raises(UserError) as caught:
        prepared(images, "plain", strict=True)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("2 images repeat the pixels of another of another split or class")
    told = " ".join(lines[1:-1])
    assert "'test/cat/seen.png' (test, class 'cat') is also 'train/cat/0.png' (" in told
    assert "'train/dog/cat.png'" in told and "'train/cat/1.png'" in told
    assert lines[-1].endswith("or drop `strict` to have them counted.")
    assert {path.name: path.read_bytes() for path in plain.iterdir()} == before


@pytest.mark.fault(19)
def test_strict_changes_no_byte_of_images_and_no_record_of_training(images):
    plain, strict = prepared(images, "plain"), prepared(images, "strict", strict=True)
    other = {
        path.name
        for path in plain.iterdir()
        if path.read_bytes() != (strict / path.name).read_bytes()
    }
    assert {name for name in other if "timing" not in name and "seen" not in name} == {
        "prepare-test.json"
    }


@pytest.mark.fault(19)
def test_long_lists_of_repeated_images_are_cut(images):
    for number in range(30):
        copy = images / "test/dog" / f"again {number}.png"
        copy.write_bytes((images / "train/cat/0.png").read_bytes())
    lines = refusal(images, strict=True).splitlines()
    assert lines[0].startswith("30 images repeat")
    assert lines[-2] == "  and 10 more" and len(lines) == 23


# --- 20: kinds of images --------------------------------------------------------------------------


def packed(values: np.ndarray, depth: int) -> bytes:
    """Rows of a PNG, each after its filter byte 0."""
    rows = values.reshape(len(values), -1)
    if depth == 16:
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
    return b"".join(b"\0" + np.packbits(row.ravel()).tobytes() for row in bits)


def white_below(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Composite on white, in exact integers, halves up."""
    colour, alpha = colour.astype(int), alpha.astype(int)[..., None]
    return (2 * (colour * alpha + 255 * (255 - alpha)) + 255) // 510


def kinds(random: np.random.Generator) -> dict[str, tuple[bytes, np.ndarray]]:
    """PNGs of every colour type and depth, written by hand, and what RGB they must become."""
    made = {}

    def draw(levels: int, *more: int) -> np.ndarray:
        return random.integers(levels, size=(SIDE, SIDE, *more))

    def add(name, depth, colour, values, rgb, *chunks):
        rgb = np.broadcast_to(rgb if rgb.ndim == 3 else rgb[..., None], (SIDE, SIDE, 3))
        made[name] = png(SIDE, SIDE, depth, colour, packed(values, depth), *chunks), rgb

    for depth in (1, 2, 4, 8):
        grey = draw(1 << depth)
        add(f"grey, {depth} bits", depth, 0, grey, grey * (255 // ((1 << depth) - 1)))
    grey = draw(1 << 16)
    add("grey, 16 bits", 16, 0, grey, (2 * grey + 257) // 514)
    for depth, shift in ((8, 0), (16, 8)):
        colour, alpha = draw(1 << depth, 3), draw(1 << depth)
        add(f"colour, {depth} bits", depth, 2, colour, colour >> shift)
        add(f"colour and alpha, {depth} bits", depth, 6,
            np.concatenate([colour, alpha[..., None]], axis=-1),
            white_below(colour >> shift, alpha >> shift))  # fmt: skip
        level = draw(1 << depth)
        three = np.repeat((level >> shift)[..., None], 3, axis=-1)
        add(f"grey and alpha, {depth} bits", depth, 4, np.stack([level, alpha], axis=-1),
            white_below(three, alpha >> shift))  # fmt: skip
    for depth in (1, 2, 4, 8):
        table, index = random.integers(256, size=(1 << depth, 3)), draw(1 << depth)
        palette = b"PLTE" + table.astype(np.uint8).tobytes()
        add(f"palette, {depth} bits", depth, 3, index, table[index], palette)
        clear = random.integers(256, size=1 << depth)
        add(f"palette and alpha, {depth} bits", depth, 3, index,
            white_below(table[index], clear[index]), palette,
            b"tRNS" + clear.astype(np.uint8).tobytes())  # fmt: skip
    return made


@pytest.mark.fault(20)
def test_every_kind_of_png_has_the_documented_pixels(tmp_path, tally):
    for seed in range(tally.times(2, 40)):
        for name, (content, rgb) in kinds(np.random.default_rng(seed)).items():
            (tmp_path / "x.png").write_bytes(content)
            pixels = converted(open_image(tmp_path / "x.png"), SIDE, 3).astype(int)
            np.testing.assert_array_equal(pixels, rgb, err_msg=name)
            tally.add("images of unusual kinds")
    tally.add("other pixels", 0)


@pytest.mark.fault(20)
def test_cmyk_has_the_documented_pixels(tmp_path):
    ink = noise(3, (SIDE, SIDE, 4)).astype(int)
    Image.fromarray(ink.astype(np.uint8), "CMYK").save(tmp_path / "x.tif")
    exact = (255 - ink[..., :3]) * (255 - ink[..., 3:]) / 255
    pixels = converted(open_image(tmp_path / "x.tif"), SIDE, 3)
    assert np.abs(pixels - exact).max() <= 1
    flat = Image.new("CMYK", (16, 16), (10, 200, 60, 30))  # a JPEG, in which Adobe inverts the ink
    flat.save(tmp_path / "x.jpg", quality=100)
    expected = [(255 - c) * (255 - 30) / 255 for c in (10, 200, 60)]
    pixels = converted(open_image(tmp_path / "x.jpg"), 16, 3)
    assert np.abs(pixels - np.array(expected)).max() <= 2


@pytest.mark.fault(20)
def test_grey_is_the_documented_luma(tmp_path):
    Image.fromarray(noise(5)).save(tmp_path / "x.png")
    exact = noise(5) @ np.array([0.299, 0.587, 0.114])
    pixels = converted(open_image(tmp_path / "x.png"), SIDE, 1)[..., 0]
    assert np.abs(pixels - exact).max() <= 0.501


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
"""EXIF orientation → what shows the image upright (EXIF 2.32, tag 0x0112)."""


@pytest.mark.fault(20)
@pytest.mark.parametrize(("orientation", "suffix"), [*itertools.product(UPRIGHT, ("png", "webp"))])
def test_every_exif_orientation_is_turned_upright(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(noise(orientation)).save(path, exif=exif, lossless=True)
    pixels = converted(open_image(path), SIDE, 3)
    np.testing.assert_array_equal(pixels, UPRIGHT[orientation](noise(orientation)))


@pytest.mark.fault(20)
def test_a_folder_of_all_kinds_is_prepared_as_documented(tmp_path):
    root, made = tmp_path / "images", kinds(np.random.default_rng(1))
    for number, (content, _) in enumerate(made.values()):
        for split, name in itertools.product(("train", "test"), "ab"):
            path = root / split / name / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    out = prepared(root, validation_per_class=1)
    pixels = load_split(out, "test").images.permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(pixels, np.stack([rgb for _, rgb in made.values()] * 2))
