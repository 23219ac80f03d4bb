"""Random mirroring."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpipe.data.augmentation import flip


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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_mirrors_the_same_images():
    images = _images(40)
    assert torch.equal(flip(images.cuda(), "d", 0, 1).cpu(), flip(images, "d", 0, 1))
