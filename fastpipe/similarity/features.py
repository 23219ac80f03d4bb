"""Classes as points: the mean feature of each class, and how many images stand behind it.

Li et al., "Rethinking the Hyperparameters for Fine-tuning" (ICLR 2020), appendix B, after Cui et
al. (CVPR 2018), section 4.1: a domain is its classes, each at its mean feature, weighing its
share of the training images.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from fastpipe.errors import UserError

__all__ = ["class_means"]


def class_means(
    features: Iterable[Tensor], labels: Tensor, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean feature of each class, accumulated in float64.

    Summing in float64 makes the result independent of how the images are cut into batches, to
    about 1e-12 of a feature's size.

    Args:
        features: batches [M, D] of features that follow one another in the labels' order.
        labels: int64 [n].
        classes: N.

    Returns:
        means float64 [N, D], NaN for a class without images; counts int64 [N].

    Raises:
        ValueError: another number of features than labels, or a label outside 0 … N−1.
        UserError: a feature is not finite.
    """
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(f"labels reach {int(labels.max())}, but there are {classes} classes")
    sums, seen = None, 0
    for batch in features:
        some = labels[seen : seen + len(batch)].to(batch.device)
        if len(some) != len(batch):
            raise ValueError(f"more features than the {len(labels)} labels")
        if not bool(torch.isfinite(batch).all()):
            raise UserError(_not_finite(batch, seen))
        if sums is None:
            sums = batch.new_zeros((classes, batch.shape[1]), dtype=torch.float64)
        sums.index_add_(0, some, batch.double())
        seen += len(batch)
    if sums is None or seen != len(labels):
        raise ValueError(f"{seen} features for {len(labels)} labels")
    counts = torch.bincount(labels.cpu(), minlength=classes)
    means = sums.cpu() / counts[:, None].double()
    return means.numpy(), counts.numpy()


def _not_finite(batch: Tensor, seen: int) -> str:
    image = seen + int((~torch.isfinite(batch)).any(1).nonzero()[0])
    return (
        f"the features of image {image} are not finite: the numbers of the network that computes "
        "them are too large. Pretrain the source with a lower learning rate; if its weights are "
        "released ones, see whether `backbone`, `mean` and `std` are those they were made for."
    )
