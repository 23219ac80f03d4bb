"""Random changes, against torchvision's and written-out definitions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as reference

from fastpipe.data.augmentation import (
    Augmentation,
    augment,
    crop_boxes,
    flip,
    jitter_factors,
    mirrored,
)


def _images(count, channels=3):
    stream = torch.Generator().manual_seed(count)
    stored = torch.randint(0, 256, (count, 4, 6, channels), dtype=torch.uint8, generator=stream)
    return stored.permute(0, 3, 1, 2)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 50), st.sampled_from([1, 3]), st.integers(0, 5), st.integers(1, 500))
def test_each_image_is_itself_or_its_mirror(count, channels, seed, step):
    images = _images(count, channels)
    before = images.clone()
    flipped = flip(images, "d", seed, step)
    assert torch.equal(images, before)
    assert flipped.is_contiguous(memory_format=torch.channels_last)
    for image, result in zip(images, flipped, strict=True):
        assert torch.equal(result, image) or torch.equal(result, image.flip(-1))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 50), st.integers(0, 5), st.integers(1, 500))
def test_flipping_twice_with_one_name_undoes_it(count, seed, step):
    images = _images(count)
    assert torch.equal(flip(flip(images, "d", seed, step), "d", seed, step), images)


def test_half_of_the_images_are_mirrored_anew_at_each_step():
    images = torch.tensor([0, 1], dtype=torch.uint8).expand(2000, 1, 1, 2)
    decided = [flip(images, "d", 0, step)[:, 0, 0, 0] for step in (1, 2)]
    assert all(abs(int(mirrored.sum()) - 1000) < 90 for mirrored in decided)  # 4 deviations
    assert abs(int((decided[0] == decided[1]).sum()) - 1000) < 90


def test_decisions_do_not_depend_on_the_images():
    narrow = flip(torch.tensor([0, 1]).expand(9, 1, 1, 2), "d", 3, 4)[:, 0, 0, 0]
    wide = flip(torch.arange(5.0).expand(9, 2, 3, 5), "d", 3, 4)[:, 0, 0, 0]
    assert torch.equal(narrow == 1, wide == 4)


def _smooth(count, channels=3, size=28):
    """Images whose grey levels vary, uint8."""
    stream = torch.Generator().manual_seed(count)
    coarse = torch.rand(count, channels, 7, 7, generator=stream)
    fine = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
    return (255 * fine).to(torch.uint8).contiguous(memory_format=torch.channels_last)


POLICIES = [
    Augmentation(flip=True),
    Augmentation(crop="random"),
    Augmentation(True, "resized"),
    Augmentation(True, "random", 0.4),
    Augmentation(True, "none", 0.3),
    Augmentation(colour_jitter=0.5),
]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_depends_on_its_place_and_not_on_the_size_of_the_batch(policy, channels):
    images = _smooth(40, channels)
    before = images.clone()
    whole = augment(images, policy, "d", 2, 5)
    for count in (1, 7, 33):
        assert torch.equal(augment(images[:count], policy, "d", 2, 5), whole[:count])
    assert torch.equal(images, before)
    assert whole.dtype == torch.uint8
    assert whole.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(whole, images)
    assert not torch.equal(augment(images, policy, "d", 2, 6), whole)
    assert not torch.equal(augment(images, policy, "d", 3, 5), whole)


def test_nothing_asked_is_nothing_done():
    images = _smooth(3)
    assert augment(images, Augmentation(), "d", 0, 1) is images


@pytest.mark.parametrize("crop", ["random", "resized"])
def test_two_policies_mirror_the_same_images(crop):
    images = _smooth(30)
    cropped = augment(images, Augmentation(crop=crop), "d", 1, 2)
    both = augment(images, Augmentation(True, crop), "d", 1, 2)
    turned = mirrored(30, "d", 1, 2)
    assert 0 < turned.sum() < 30
    mirror = torch.where(turned[:, None, None, None], cropped.flip(3), cropped)
    assert (both.int() - mirror.int()).abs().max() <= 1


@pytest.mark.parametrize("size", [8, 28, 30])
def test_a_random_crop_is_a_shift_over_black(size):
    images = _smooth(50, 3, size)
    shifted = augment(images, Augmentation(crop="random"), "d", 0, 1)
    boxes = crop_boxes("random", 50, size, size, "d", 0, 1)
    reach = size // 8
    padded = torch.nn.functional.pad(images, [reach] * 4)
    for image, result, top, left in zip(padded, shifted, boxes.top, boxes.left, strict=True):
        y, x = int(top) + reach, int(left) + reach
        assert torch.equal(result, image[:, y : y + size, x : x + size])
    assert set(boxes.top.tolist()) == set(boxes.left.tolist()) == set(range(-reach, reach + 1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28, 64])
def test_a_resized_crop_has_torchvisions_pixels(channels, size):
    """To one grey level: each of the two rounds once, from bilinear weights of its own."""
    images = _smooth(40, channels, size)
    ours = augment(images, Augmentation(crop="resized"), "d", 0, 1)
    boxes = crop_boxes("resized", 40, size, size, "d", 0, 1)
    for image, result, *box in zip(images, ours, *boxes, strict=True):
        theirs = reference.resized_crop(image, *map(int, box), [size, size], antialias=True)
        assert (result.int() - theirs.int()).abs().max() <= 1


def test_resized_crops_are_distributed_as_torchvisions():
    """Area, ratio of sides and place: the same quantiles to within what 4,000 draws allow."""
    size, count = 224, 4000
    ours = crop_boxes("resized", count, size, size, "d", 0, 1)
    torch.manual_seed(0)
    image = torch.zeros(1, size, size)
    drawn = [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(count)]
    theirs = torch.tensor(drawn, dtype=torch.float32).T

    def quantities(top, left, height, width):
        free = [torch.where(side < size, at / (size - side), -1) for at, side in
                ((top, height), (left, width))]  # fmt: skip
        return [height * width / size**2, (width / height).log(), *free]

    for mine, other in zip(quantities(*ours), quantities(*theirs), strict=True):
        for q in (0.05, 0.25, 0.5, 0.75, 0.95):
            assert abs((mine <= other.quantile(q)).float().mean() - q) < 0.03
    assert ((ours.top >= 0) & (ours.top + ours.height <= size)).all()
    assert ((ours.left >= 0) & (ours.left + ours.width <= size)).all()
    area, ratio = ours.height * ours.width / size**2, ours.width / ours.height
    assert 0.075 < area.min() < 0.1 and area.max() > 0.95
    assert ratio.log().abs().max() < math.log(4 / 3) + 0.03


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_change_as_torchvision_changes_them(channels):
    """One rounding at the end, so the reference is torchvision on floating point images."""
    images = _smooth(30, channels)
    ours = augment(images, Augmentation(colour_jitter=0.6), "d", 0, 1)
    factors = jitter_factors(30, 0.6, "d", 0, 1)
    assert (factors - 1).abs().max() <= 0.6 and factors.std() > 0.25
    for image, result, (brightness, contrast, saturation) in zip(
        images, ours, factors.tolist(), strict=True
    ):
        theirs = reference.adjust_brightness(image / 255, brightness)
        theirs = reference.adjust_contrast(theirs, contrast)
        if channels == 3:
            theirs = reference.adjust_saturation(theirs, saturation)
        assert (result - 255 * theirs).abs().max() <= 0.51


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("policy", POLICIES)
def test_the_gpu_shows_the_same_images(policy):
    """To one grey level, where a value lies between two."""
    images = _smooth(40)
    there = augment(images.cuda(), policy, "d", 0, 1).cpu()
    difference = (there.int() - augment(images, policy, "d", 0, 1).int()).abs()
    assert difference.max() <= 1 and (difference > 0).float().mean() < 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_mirrors_the_same_images():
    images = _images(40)
    assert torch.equal(flip(images.cuda(), "d", 0, 1).cpu(), flip(images, "d", 0, 1))


def _large(count, size=16):
    stream = torch.Generator().manual_seed(count)
    stored = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=stream)
    return stored.permute(0, 3, 1, 2)


@pytest.mark.parametrize("flipped", [False, True])
def test_without_a_crop_the_network_sees_the_middle(flipped):
    images = _large(30)
    seen = augment(images, Augmentation(flip=flipped), "d", 0, 1, side=10)
    expected = images[..., 3:13, 3:13]
    if flipped:
        turned = mirrored(30, "d", 0, 1)[:, None, None, None]
        expected = torch.where(turned, expected.flip(3), expected)
    assert torch.equal(seen, expected)


def test_a_random_crop_of_a_larger_image_is_a_window_of_it_anywhere():
    images = _large(200)
    seen = augment(images, Augmentation(crop="random"), "d", 0, 1, side=10)
    assert seen.shape == (200, 3, 10, 10)
    windows = images.unfold(2, 10, 1).unfold(3, 10, 1)  # [M, C, 7, 7, 10, 10]
    same = (windows == seen[:, :, None, None]).all(-1).all(-1).all(1)
    assert same.flatten(1).sum(1).tolist() == [1] * 200
    assert same.any(0).sum() > 45  # of 49 places


def test_a_resized_crop_is_torchvisions_at_the_side_that_the_network_sees():
    images = _smooth(12, size=32)
    seen = augment(images, Augmentation(crop="resized"), "d", 0, 1, side=20)
    boxes = crop_boxes("resized", 12, 32, 32, "d", 0, 1)
    for image, result, box in zip(images, seen, zip(*boxes, strict=True), strict=True):
        top, left, height, width = (int(value) for value in box)
        expected = reference.resized_crop(
            image, top, left, height, width, [20, 20], antialias=False
        )
        assert (result.int() - expected.int()).abs().max() <= 1
