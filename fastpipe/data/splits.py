"""Seeded, stratified choices among labelled images, from the labels alone.

Each class is shuffled once by its own stream, named by the split's seed and the *name* of the
class; every choice takes the first images of that order. So choices are nested (the first 10 of a
class are among the first 20), and neither other classes nor other splits influence them.
"""

from collections.abc import Sequence

import numpy as np
import torch

from fastpipe.data.streams import generator

__all__ = ["shuffled_classes"]


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
