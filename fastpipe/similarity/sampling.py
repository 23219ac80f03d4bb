"""Which images of a dataset stand for all of them."""

import torch
from torch import Tensor

from fastpipe.data.streams import generator

__all__ = ["drawn_per_class"]


def drawn_per_class(labels: Tensor, per_class: int | None, *name: str) -> Tensor:
    """Images drawn at random from each class, each image with equal probability.

    A larger `per_class` draws the same images and more.

    Args:
        labels: int64 [n].
        per_class: at most so many of each class; None: all.
        name: whose images they are, for example dataset and split; names the random stream.

    Returns:
        bool [n], on the CPU.
    """
    labels = labels.cpu()
    if per_class is None:
        return torch.ones(len(labels), dtype=torch.bool)
    order = torch.randperm(len(labels), generator=generator("images of a class", *name))
    by_class = order[labels[order].argsort(stable=True)]  # random within each class
    sorted_labels = labels[by_class]
    first = torch.searchsorted(sorted_labels, sorted_labels)
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[by_class[torch.arange(len(labels)) - first < per_class]] = True
    return chosen
