"""Random changes to training images; never to validation or test images."""

import torch
from torch import Tensor

from fastpipe.data.streams import generator

__all__ = ["flip", "mirrored"]


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
