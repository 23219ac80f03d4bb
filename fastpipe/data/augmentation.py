"""Random changes to training images; never to validation or test images.

In this order: crop, flip, then brightness, contrast and saturation. Each kind of change has its own
stream, named by (dataset, seed, step) and drawn on the CPU, so what happens to an image is the same
on every device; it depends on the image's place in the batch, not on the size of the batch, and
not on what else the recipe asks for: two policies under one seed mirror the same images.

The references are torchvision's `RandomResizedCrop`, `RandomHorizontalFlip` and `ColorJitter`
(which shuffles the order of its three). A crop and a flip are one bilinear resampling with a grid
parallel to the sides, one call for a whole batch.

Symbols: M images in a batch, C channels, H × W pixels.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fastpipe.data.arrays import middle
from fastpipe.data.streams import generator

__all__ = ["Augmentation", "Boxes", "augment", "crop_boxes", "flip", "jitter_factors", "mirrored"]

Crop = Literal["none", "random", "resized"]

_LARGEST_SHIFT = 1 / 8
"""Of a random crop, over the side of the image."""
_AREA = (0.08, 1.0)
_LOG_RATIO = (math.log(3 / 4), math.log(4 / 3))
_ATTEMPTS = 10
_GREY = (0.2989, 0.587, 0.114)  # as torchvision weighs red, green and blue


class Augmentation(NamedTuple):
    """What is done to training images; the fields are those of a recipe."""

    flip: bool = False
    crop: Crop = "none"
    colour_jitter: float = 0.0

    @property
    def only_flips(self) -> bool:
        """Whether an image has no other views than itself and its mirror image."""
        return self.crop == "none" and self.colour_jitter == 0


class Boxes(NamedTuple):
    """The part of each image that a crop shows, in pixels, float32 [M] each; it may begin outside
    the image, and what lies there is 0."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def augment(
    images: Tensor,
    what: Augmentation,
    dataset: str,
    seed: int,
    step: int,
    side: int | None = None,
) -> Tensor:
    """Change a batch of training images.

    Args:
        images: uint8 [M, C, H, W], any device; best in channels_last memory format.
        what: how.
        dataset, seed, step: name the streams.
        side: of the result; default: as the images are. Without a crop it is their middle.

    Returns:
        uint8 [M, C, side, side], channels_last: grey levels are rounded once, at the end.
    """
    if side is None or side == images.shape[-1]:
        side = images.shape[-1]
    elif what.crop == "none":
        images = middle(images, side).contiguous(memory_format=torch.channels_last)
    if what.only_flips:
        return flip(images, dataset, seed, step) if what.flip else images
    name = (dataset, seed, step)
    if what.crop == "none" and what.flip:
        images = flip(images, *name)
    # Planes of one colour: sums over channels and resampling then run along the memory.
    planes = images.to(torch.float32, memory_format=torch.contiguous_format)
    if what.crop != "none":
        count, _, height, width = images.shape
        boxes = crop_boxes(what.crop, count, height, width, *name, side=side)
        turned = mirrored(count, *name) if what.flip else torch.zeros(count, dtype=torch.bool)
        planes = _resample(planes, boxes, turned, side)
    if what.colour_jitter:
        planes = _jitter(planes, jitter_factors(len(images), what.colour_jitter, *name))
    return planes.round_().to(torch.uint8).contiguous(memory_format=torch.channels_last)


def mirrored(count: int, dataset: str, seed: int, step: int) -> Tensor:
    """Which images of a step's batch :func:`flip` mirrors: bool (count,), on the CPU."""
    return torch.rand(count, generator=generator("flip", dataset, seed, step)) < 0.5


def flip(images: Tensor, dataset: str, seed: int, step: int) -> Tensor:
    """Mirror each image left to right with probability 1/2.

    Args:
        images: (M, C, H, W), any dtype, any device; best in channels_last memory format.
        dataset, seed, step: name the stream of decisions, which is drawn on the CPU and so is the
            same on every device.

    Returns:
        A new tensor, channels_last; `images` is left alone.
    """
    chosen = mirrored(len(images), dataset, seed, step).nonzero().flatten()
    # Whole images are moved as bytes; torch.where on uint8 takes 4 to 8 times as long.
    source = torch.arange(len(images))
    source[chosen] = len(images) + torch.arange(len(chosen))
    stored = images.permute(0, 2, 3, 1)
    turned = stored.index_select(0, chosen.to(images.device, non_blocking=True)).flip(2)
    both = torch.cat([stored, turned])
    return both.index_select(0, source.to(images.device, non_blocking=True)).permute(0, 3, 1, 2)


def crop_boxes(
    crop: Crop,
    count: int,
    height: int,
    width: int,
    dataset: str,
    seed: int,
    step: int,
    side: int | None = None,
) -> Boxes:
    """The parts of a step's images that are shown, on the CPU, all whole pixels.

    `random`: a square of `side` pixels anywhere in the image; if that is the whole image (or none
    is asked for), the image shifted by up to an eighth of each side (rounded down), what is outside
    being black; all places equally likely. `resized`: an area of 8 to 100 % and a ratio of width
    to height of 3/4 to 4/3 (log-uniform), redrawn up to 10 times until it fits, else the whole
    image; then anywhere.
    """
    stream = generator("crop", dataset, seed, step)
    if crop == "random":
        drawn = torch.rand(count, 2, generator=stream).T
        if side is not None and side < min(height, width):
            top, left = (
                _below(u, length - side + 1)
                for u, length in zip(drawn, (height, width), strict=True)
            )
            return Boxes(top, left, *(torch.full((count,), float(side)) for _ in range(2)))
        reach = (int(height * _LARGEST_SHIFT), int(width * _LARGEST_SHIFT))
        top, left = (_below(u, 2 * r + 1) - r for u, r in zip(drawn, reach, strict=True))
        return Boxes(top, left, *(torch.full((count,), float(side)) for side in (height, width)))
    drawn = torch.rand(count, 2 * _ATTEMPTS + 2, generator=stream)
    areas, ratios = drawn[:, :_ATTEMPTS], drawn[:, _ATTEMPTS:-2]
    areas = height * width * (_AREA[0] + (_AREA[1] - _AREA[0]) * areas)
    ratios = torch.exp(_LOG_RATIO[0] + (_LOG_RATIO[1] - _LOG_RATIO[0]) * ratios)
    widths, heights = (areas * ratios).sqrt().round(), (areas / ratios).sqrt().round()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.int().argmax(1, keepdim=True)  # the first that fits, or 0
    found = fits.any(1)
    chosen_height = torch.where(found, heights.gather(1, first)[:, 0], float(height))
    chosen_width = torch.where(found, widths.gather(1, first)[:, 0], float(width))
    top = _below(drawn[:, -2], height - chosen_height + 1)
    left = _below(drawn[:, -1], width - chosen_width + 1)
    return Boxes(top, left, chosen_height, chosen_width)


def jitter_factors(count: int, strength: float, dataset: str, seed: int, step: int) -> Tensor:
    """Factors of brightness, contrast and saturation, uniform in 1 ± strength: [count, 3]."""
    drawn = torch.rand(count, 3, generator=generator("colour", dataset, seed, step))
    return 1 + strength * (2 * drawn - 1)


def _below(uniform: Tensor, count: Tensor | int) -> Tensor:
    """Whole numbers 0 … count − 1 from numbers in [0, 1)."""
    return (uniform * count).floor().clamp(max=count - 1)


def _resample(images: Tensor, boxes: Boxes, turned: Tensor, side: int) -> Tensor:
    """Each box resized to `side` pixels, bilinearly, and mirrored if `turned`.

    Args:
        images: float32 [M, C, H, W].
        boxes, turned: on the CPU, [M].
    """
    count, _, height, width = images.shape
    rows = _positions(boxes.top, boxes.height, height, side)
    columns = _positions(boxes.left, boxes.width, width, side)
    columns = torch.where(turned[:, None], columns.flip(1), columns)
    grid = torch.empty(count, side, side, 2, device=images.device)
    grid[..., 0] = columns.to(images.device, non_blocking=True)[:, None, :]
    grid[..., 1] = rows.to(images.device, non_blocking=True)[:, :, None]
    return F.grid_sample(images, grid, align_corners=False)


def _positions(first: Tensor, length: Tensor, image_side: int, side: int) -> Tensor:
    """Where each of `side` pixels of the result lies in the image, from −1 to 1: [M, side].

    Centres of pixels, as in torchvision's resize; not beyond the centres of the box's own.
    """
    inside = (torch.arange(side) + 0.5) * (length / side)[:, None] - 0.5
    pixels = first[:, None] + torch.minimum(inside.clamp(min=0), (length - 1)[:, None])
    return (2 * pixels + 1) / image_side - 1


def _jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Brightness, contrast, and saturation if there are three channels; grey levels 0 to 255.

    Args:
        images: float32 [M, C, H, W]; changed in place.
        factors: [M, 3], on the CPU.
    """
    factors = factors.to(images.device, non_blocking=True)
    brightness, contrast, saturation = factors.T[..., None, None, None]
    images.mul_(brightness).clamp_(0, 255)
    mean = _grey(images).mean((1, 2, 3), keepdim=True)
    images.mul_(contrast).add_(mean * (1 - contrast)).clamp_(0, 255)
    if images.shape[1] == 3:
        grey = _grey(images) * (1 - saturation)
        images.mul_(saturation).add_(grey).clamp_(0, 255)
    return images


def _grey(images: Tensor) -> Tensor:
    """Luminance [M, 1, H, W] of colour images; others as they are."""
    if images.shape[1] != 3:
        return images
    red, green, blue = (images[:, c : c + 1] * weight for c, weight in enumerate(_GREY))
    return red.add_(green).add_(blue)
