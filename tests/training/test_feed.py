import pytest
import torch

from fastpipe.data.augmentation import Augmentation, augment, flip
from fastpipe.data.batches import BalancedBatches
from fastpipe.training.feed import Feed


def feed(task, *, seed=2, mirrored=False, crop="none", colour_jitter=0.0) -> Feed:
    batches = BalancedBatches(task.train.labels, 50, "digits", seed)
    augmentation = Augmentation(mirrored, crop, colour_jitter)
    return Feed(task.train, batches, "digits", seed, augmentation, torch.device("cpu"))


def test_batches_are_channels_last_uint8(task):
    images, labels = feed(task).batch(1)
    assert images.dtype == torch.uint8 and images.shape == (50, 1, 8, 8)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(labels.bincount(), torch.full((10,), 5))


def test_flips_are_those_of_dataset_seed_and_step(task):
    plain, _ = feed(task).batch(7)
    mirrored, _ = feed(task, mirrored=True).batch(7)
    assert torch.equal(mirrored, flip(plain, "digits", 2, 7))
    assert not torch.equal(mirrored, plain)


def test_crops_and_colours_are_those_of_dataset_seed_and_step(task):
    plain, _ = feed(task).batch(7)
    changed, labels = feed(task, mirrored=True, crop="resized", colour_jitter=0.4).batch(7)
    assert torch.equal(changed, augment(plain, Augmentation(True, "resized", 0.4), "digits", 2, 7))
    assert torch.equal(labels, feed(task).batch(7)[1])
    assert changed.is_contiguous(memory_format=torch.channels_last)


def test_layers_draw_by_seed_and_step_alone(task):
    def draw(step, **options):
        torch.rand(3)
        feed(task, **options).seed_layers(step)
        return torch.rand(5)

    assert torch.equal(draw(4), draw(4, mirrored=True))
    assert not torch.equal(draw(4), draw(5))
    assert not torch.equal(draw(4), draw(4, seed=3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_same_images_arrive(task):
    batches = BalancedBatches(task.train.labels, 50, "digits", 2)
    there = Feed(task.train, batches, "digits", 2, Augmentation(True), torch.device("cuda"))
    for ours, theirs in zip(there.batch(3), feed(task, mirrored=True).batch(3), strict=True):
        assert ours.is_cuda and torch.equal(ours.cpu(), theirs)
