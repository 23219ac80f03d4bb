"""Seeded, stratified choices among labelled images, from the labels alone.

Each class is shuffled once by its own stream, named by the split's seed and the *name* of the
class; every choice takes the first images of that order. So choices are nested (the first 10 of a
class are among the first 20), and neither other classes nor other splits influence them.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch

from fastpipe.data.streams import generator

__all__ = ["apportion", "shuffled_classes"]


def shuffled_classes(
    labels: np.ndarray, classes: Sequence[str], seed: int, purpose: str
) -> list[np.ndarray]:
    """For each class the positions of its images in `labels`, int64, in random order.

    Args:
        labels: int64 (n,); images with a label outside [0, len(classes)) belong to no class.
        classes: names in the order of the labels.
        seed, purpose: name the streams.
    """
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(len(classes) + 1))
    return [
        _shuffled(order[first:last], generator("splits", purpose, seed, name))
        for first, last, name in zip(bounds[:-1], bounds[1:], classes, strict=True)
    ]


def _shuffled(positions: np.ndarray, stream: torch.Generator) -> np.ndarray:
    return positions[torch.randperm(len(positions), generator=stream).numpy()]


def apportion(counts: Sequence[int], fraction: float) -> list[int]:
    """How many of each class to hold out: about `fraction`, at least 1, never all.

    Largest remainders: the total is the fraction of all images, rounded up; each class gets its
    exact share rounded down or up. Where that is 0 it gets 1 nevertheless. The fraction is taken
    as the decimal number it is written as, so 0.07 of 100 is 7.

    Raises ValueError for a class with fewer than 2 images, or a fraction outside (0, 1).
    """
    share = Fraction(repr(fraction))
    if not 0 < share < 1 or any(count < 2 for count in counts):
        raise ValueError(f"cannot hold out {fraction} of classes with {list(counts)} images")
    quotas = [share * count for count in counts]
    held = [int(quota) for quota in quotas]
    missing = -int(-share * sum(counts) // 1) - sum(held)
    by_remainder = sorted(range(len(held)), key=lambda i: (held[i] - quotas[i], i))
    for index in by_remainder[:missing]:
        held[index] += 1
    return [min(max(h, 1), count - 1) for h, count in zip(held, counts, strict=True)]
