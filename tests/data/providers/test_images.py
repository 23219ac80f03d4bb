"""The documented conversion of every kind of image, and refusal of everything else."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from fastpipe.data.providers import images as module
from fastpipe.data.providers.images import UnreadableError, converted, open_image
from fastpipe.errors import UserError


def _read(path, channels=3, size=4):
    return converted(open_image(path), size, channels)


def _uniform(pixels):
    assert (pixels == pixels[0, 0]).all()
    return pixels[0, 0].tolist()


def _saved(tmp_path, image, name="x.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.fault(20)
@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "rgb"),
    [
        ("RGB", (200, 30, 10), "png", [200, 30, 10]),
        ("L", 77, "png", [77, 77, 77]),
        ("1", 1, "png", [255, 255, 255]),
        ("LA", (100, 0), "png", [255, 255, 255]),
        ("LA", (100, 255), "png", [100, 100, 100]),
        ("RGBA", (0, 100, 200, 51), "png", [204, 224, 244]),  # 0.2 c + 0.8 · 255
        ("CMYK", (0, 255, 255, 0), "tif", [255, 0, 0]),
        ("CMYK", (0, 0, 0, 255), "jpg", [0, 0, 0]),
        ("HSV", (0, 0, 90), "tif", None),
    ],
)
def test_modes_become_rgb(tmp_path, mode, colour, suffix, rgb):
    image = Image.new(mode if mode != "HSV" else "YCbCr", (4, 4), colour)
    pixels = _uniform(_read(_saved(tmp_path, image, f"x.{suffix}")))
    expected = rgb or list(image.convert("RGB").getpixel((0, 0)))
    assert pixels == pytest.approx(expected, abs=1)


@pytest.mark.fault(20)
def test_palette_with_a_transparent_colour_lies_on_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([250, 0, 0, 0, 0, 250])
    image.putdata([0, 1])
    path = _saved(tmp_path, image, transparency=1)
    pixels = converted(open_image(path), 2, 3)
    assert pixels[0].tolist() == [[250, 0, 0], [255, 255, 255]]
    assert converted(open_image(_saved(tmp_path, image)), 2, 3)[0, 1].tolist() == [0, 0, 250]


def test_grey_is_luma_601(tmp_path):
    path = _saved(tmp_path, Image.new("RGB", (4, 4), (200, 100, 50)))
    assert _uniform(_read(path, channels=1)) == [round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)]


@pytest.mark.fault(20)
@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("value", [0, 128, 129, 257 * 77, 40_000, 65_535])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix, value):
    image = Image.fromarray(np.full((4, 4), value, dtype=np.uint16))
    path = _saved(tmp_path, image, f"x.{suffix}")
    assert _uniform(_read(path, channels=1)) == [round(value / 257)]


def test_integers_beyond_16_bits_and_floats_are_refused(tmp_path):
    path = _saved(tmp_path, Image.fromarray(np.full((4, 4), 65_536, dtype=np.int32)), "x.tif")
    with pytest.raises(UnreadableError, match="integer pixels from 65536 to 65536 exceed 16 bits"):
        _read(path)
    path = _saved(tmp_path, Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)), "x.tif")
    with pytest.raises(UnreadableError, match="mode 'F' have no defined conversion"):
        _read(path)


@pytest.mark.fault(20)
def test_exif_rotation_is_applied(tmp_path):
    image = Image.new("RGB", (4, 4), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to see it upright
    path = _saved(tmp_path, image, exif=exif)
    assert _read(path)[0, 3].tolist() == [255, 255, 255]


@pytest.mark.fault(20)
def test_a_damaged_exif_block_costs_only_the_rotation(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "x" * 20
    damaged = bytearray(exif.tobytes())
    damaged[damaged.index(b"\x01\x0f") + 1] = 3  # the maker becomes a compression in letters
    path = _saved(tmp_path, Image.new("L", (8, 8), 60), "x.jpg", exif=bytes(damaged))
    with pytest.raises(struct.error), warnings.catch_warnings(action="ignore"):
        ImageOps.exif_transpose(Image.open(path))
    assert _uniform(_read(path, channels=1)) == pytest.approx([60], abs=1)


@pytest.mark.fault(20)
@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_the_first_frame_of_an_animation_counts(tmp_path, suffix):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"x.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    assert _uniform(_read(path)) == [255, 0, 0]


def test_resizing_is_antialiased_and_squeezes(tmp_path):
    stripes = np.zeros((4, 64), dtype=np.uint8)
    stripes[:, ::2] = 255
    pixels = converted(Image.fromarray(stripes), 8, 1)
    assert pixels.shape == (8, 8, 1)
    assert np.abs(pixels[:, 1:-1].astype(int) - 127).max() < 20  # not a bare 0 or 255


def test_an_image_of_the_right_size_keeps_its_pixels():
    pixels = np.random.default_rng(0).integers(256, size=(9, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(converted(Image.fromarray(pixels), 9, 3), pixels)


def _noise(tmp_path, name):
    pixels = np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)
    return _saved(tmp_path, Image.fromarray(pixels), name)


@pytest.mark.fault(16)
@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.gif", "x.bmp", "x.webp", "x.tif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_files_are_unreadable(tmp_path, name, share):
    path = _noise(tmp_path, name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UnreadableError):
        _read(path)


@pytest.mark.fault(16)
@pytest.mark.parametrize("place", ["pixels", "checksum of the pixels"])
def test_a_flipped_bit_in_a_png_is_found(tmp_path, place):
    path = _noise(tmp_path, "x.png")
    content = bytearray(path.read_bytes())
    end_of_pixels = content.rindex(b"IEND") - 8  # where their checksum starts
    content[end_of_pixels // 2 if place == "pixels" else end_of_pixels] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnreadableError):
        _read(path)


@pytest.mark.fault(16)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>", r"not an image \(it starts with b'<!DOCTYPE ht'\)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (bytes(range(256)) * 9, "not an image"),
    ],
)
def test_what_is_no_image_is_unreadable(tmp_path, content, reason):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(UnreadableError, match=reason):
        open_image(tmp_path / "x.jpg")


def _png_header(width, height):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    return (
        start
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", len(data) - 4)
        + data
        + struct.pack(">I", zlib.crc32(data))
    )


@pytest.mark.fault(17)
@pytest.mark.parametrize(
    ("size", "named"),
    [
        ((9000, 9000), "9000 x 9000 pixels, more than the 80,000,000"),
        ((60_000, 60_000), "3,600,000,000 pixels, more than the 80"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_bombs_are_refused_before_they_are_decoded(tmp_path, monkeypatch, size, named):
    (tmp_path / "bomb.png").write_bytes(_png_header(*size))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("was decoded"))
    with pytest.raises(UnreadableError, match=named):
        open_image(tmp_path / "bomb.png")


@pytest.mark.fault(17)
def test_the_limit_is_below_the_one_at_which_pillow_warns():
    assert module.LARGEST_PIXELS < Image.MAX_IMAGE_PIXELS


def test_a_file_that_may_not_be_read_is_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*x\.png: No such file"):
        open_image(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"cannot read .*: Is a directory"):
        open_image(tmp_path)


def test_decoding_does_not_need_the_file_afterwards(tmp_path):
    path = _noise(tmp_path, "x.png")
    image = open_image(path)
    path.unlink()
    assert converted(image, 4, 3).shape == (4, 4, 3)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("sides", [(50, 50), (61, 40), (40, 61), (333, 100), (7, 90), (32, 47)])
def test_keep_is_torchvisions_resize_and_centre_crop(sides, mode):
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize

    random = np.random.default_rng(list(sides))
    shape = (sides[1], sides[0], *([3] if mode == "RGB" else []))
    image = Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))
    expected = CenterCrop(32)(Resize(32, InterpolationMode.BILINEAR, antialias=True)(image))
    found = converted(image, 32, 3 if mode == "RGB" else 1, "keep")
    np.testing.assert_array_equal(found.squeeze(), np.asarray(expected))
    if sides[0] != sides[1]:
        stretched = converted(image, 32, 3 if mode == "RGB" else 1)
        assert (stretched != found).any()
