"""From any image file to uint8 pixels of one size: the documented conversion.

In this order:

1. Only the first frame of an animation, and the first page of a document, is read.
2. EXIF rotation and mirroring are applied; a damaged EXIF block is ignored.
3. Depth: 16-bit grey v becomes v/257, rounded. (Pillow itself reads 16-bit colour as 8-bit.)
   Grey images of 32-bit integers are taken as 16-bit ones if no value is outside [0, 65535].
   Floating-point images have no known range and are refused.
4. Transparency, also of palettes, is composited on white.
5. Palette, CMYK (Adobe's inverted kind as well), YCbCr, HSV and 1-bit images become grey
   (ITU-R 601 luma) or RGB, whatever the dataset asks for. ICC profiles are ignored.
6. The image is resized, antialiased bilinear. `stretch`: all of it to size × size, proportions are
   not kept. `keep`: the shorter side to size, the longer one in proportion, rounded down; then the
   central square is cut out (torchvision's Resize and CenterCrop, to the pixel).
"""

import io
import re
import stat
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from fastpipe.errors import UserError

__all__ = ["LARGEST_PIXELS", "Aspect", "UnreadableError", "converted", "open_image"]

Aspect = Literal["stretch", "keep"]

LARGEST_PIXELS = 80_000_000
"""Images with more pixels are refused as decompression bombs before they are decoded. Pillow warns
from 89 and refuses from 179 million on."""

LARGEST_BYTES = 1 << 30
"""Larger files are not read. It is more than `LARGEST_PIXELS` take in any format."""

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "MPO", "JPEG2000", "AVIF")
"""Raster formats that are recognised by their first bytes and decoded by libraries alone: no
PostScript, which would start a program, and no Targa, which any text may look like."""


class UnreadableError(Exception):
    """The bytes are no image that can be read; the message says why."""


def open_image(path: Path) -> Image.Image:
    """Read and fully decode an image file.

    Raises:
        UnreadableError: the file is empty, truncated, damaged, no image, or too large.
        UserError: the file cannot be read at all (missing, no permission, I/O error).
    """
    try:
        content = _content(path)
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}. Check that it may be read."
        ) from None
    if not content:
        raise UnreadableError("the file is empty")
    try:
        return _decode(content)
    except UnreadableError:
        raise
    except Image.UnidentifiedImageError:
        raise UnreadableError(f"not an image (it starts with {content[:12]!r})") from None
    except Image.DecompressionBombError as error:  # Pillow's own limit, which it meets first
        pixels = re.search(r"\d+", str(error))
        raise UnreadableError(_bomb(f"{int(pixels[0]):,}" if pixels else "too many")) from None
    except Exception as error:  # a decoder fed garbage may raise anything
        raise UnreadableError(f"{type(error).__name__}: {error}") from None


def _content(path: Path) -> bytes:
    """The bytes of a file; nothing else is opened: a pipe would wait, a device never end."""
    try:
        status = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise UnreadableError("a link to a file that is not there") from None
        raise
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise UnreadableError("a pipe, socket or device, not a file")
    if status.st_size > LARGEST_BYTES:
        raise UnreadableError(
            f"a file of {status.st_size:,} bytes, more than the {LARGEST_BYTES:,} allowed"
        )
    return path.read_bytes()


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _decode(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content), formats=_formats())
    _refuse_bomb(image)
    if image.format == "PNG":  # Pillow checks a PNG's checksums only when asked
        Image.open(io.BytesIO(content), formats=("PNG",)).verify()
    image.load()
    return image


def _refuse_bomb(image: Image.Image) -> None:
    width, height = image.size
    if width * height > LARGEST_PIXELS:
        raise UnreadableError(_bomb(f"{width} x {height}"))


def _bomb(size: str) -> str:
    return (
        f"{size} pixels, more than the {LARGEST_PIXELS:,} allowed: "
        "a decompression bomb, or an image to be made smaller first"
    )


def converted(
    image: Image.Image, size: int, channels: int, aspect: Aspect = "stretch"
) -> np.ndarray:
    """Pixels, uint8 (size, size, channels), of a decoded image (conversion: see above).

    Raises UnreadableError for a mode that has no defined conversion, such as floating point.
    """
    try:
        image = _in_mode(_eight_bit(_upright(image)), "L" if channels == 1 else "RGB")
    except (ValueError, OSError) as error:
        raise UnreadableError(
            f"pixels of mode {image.mode!r} cannot be converted: {error}"
        ) from None
    image = _resized(image, (size, size) if aspect == "stretch" else _covering(image.size, size))
    pixels = np.asarray(image).reshape(image.height, image.width, channels)
    top, left = (round((side - size) / 2) for side in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)


def _covering(sides: tuple[int, int], size: int) -> tuple[int, int]:
    """Width and height in proportion, the shorter one `size`."""
    width, height = sides
    if width <= height:
        return size, size * height // width
    return size * width // height, size


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the pixels are fine, only the block beside them is not
        return image


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode in ("F", "LAB"):
        raise UnreadableError(f"pixels of mode {image.mode!r} have no defined conversion to 8 bits")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableError(
            f"integer pixels from {values.min()} to {values.max()} exceed 16 bits"
        )
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image if image.mode == mode else image.convert(mode)
