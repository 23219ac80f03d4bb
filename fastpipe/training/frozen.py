"""Features of a body that stays as it is, in inference mode: each image passes through it once.

Feature extraction and the first phase of warm-up train only the head, on features that never
change. They are computed in fp32 (once, so it costs little) with BatchNorm folded, and looked up
by every later step and by every seed of a pack. Both mirrored views are kept if images are flipped;
of crops and changed colours there is no end, so their features are computed at every step.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastpipe.data.arrays import Split
from fastpipe.data.augmentation import Augmentation
from fastpipe.evaluation.inference import Evaluator, images_per_batch
from fastpipe.models.network import Network
from fastpipe.training.feed import Feed

__all__ = ["FrozenFeatures", "head_gradient"]

_LARGEST_BYTES = 2**31
"""Features are looked up if all of them take no more than this, else computed at each step."""

_AHEAD_IMAGES = 2**13
"""Images of the coming steps that are passed through the body together."""


class FrozenFeatures:
    """Features of training batches and of the validation split under one body.

    Args:
        network: with the body; used now and never again.
        train, val: the splits.
        augmentation: what is done to training images.
        evaluator: scores the validation split elsewhere in the run; gives its features here too.
        remember: False computes the features of every batch anew: the reference for tests.
    """

    def __init__(
        self,
        network: Network,
        train: Split,
        val: Split,
        *,
        augmentation: Augmentation,
        evaluator: Evaluator,
        remember: bool = True,
    ):
        self._train, self._images = train, len(train)
        self._evaluator = Evaluator(network, precision="fp32")
        self._device = network.head.weight.device
        evaluator.refresh(network)
        self.val = evaluator.features(val)
        """Features of the validation split, [n, D]."""
        self._augmentation = augmentation
        views, length = self._images * (1 + augmentation.flip), network.head.in_features
        few = augmentation.only_flips and views * length * 4 <= _LARGEST_BYTES
        self._remember = remember and few
        if self._remember:
            self._rows = torch.empty(views, length, device=self._device)
            self._known = torch.zeros(views, dtype=torch.bool)

    def batch(self, feed: Feed, step: int) -> tuple[Tensor, Tensor]:
        """Features [M, D], fp32, and labels [M] of a step."""
        if not self._augmentation.only_flips:
            images, labels = feed.batch(step)
            return self._evaluator.features_of(images).clone(), labels
        views = feed.views(step)
        labels = feed.labels(views % self._images)
        if not self._remember:
            return self._compute(views).clone(), labels  # out of inference mode
        if not self._known.index_select(0, views).all():
            self._fill(feed, step, len(views))
        return self._rows.index_select(0, views.to(self._device)), labels

    def _fill(self, feed: Feed, step: int, batch: int) -> None:
        """Compute what this step and the next ones need and is not there."""
        steps = range(step, step + max(1, _AHEAD_IMAGES // batch))
        wanted = torch.cat([feed.views(coming) for coming in steps]).unique()
        wanted = wanted[~self._known[wanted]]
        for part in wanted.split(images_per_batch(self._train.images.shape[-2:], self._device)):
            self._rows[part.to(self._device)] = self._compute(part)
        self._known[wanted] = True

    def _compute(self, views: Tensor) -> Tensor:
        images, _ = self._train.gather(views % self._images, self._device)
        mirrored = (views >= self._images).nonzero().flatten().to(self._device)
        if len(mirrored):
            images[mirrored] = images[mirrored].flip(3)
        return self._evaluator.features_of(images)


@torch.no_grad()
def head_gradient(head: nn.Linear, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of a head on features; leaves its gradient −Δᵀ A / M in `.grad`.

    What autograd does, in a third of the time, since nothing lies below the head.

    Args:
        head: W, and perhaps a bias.
        features: A, [M, D].
        labels: int64 [M].

    Returns:
        The loss, a scalar, and the logits [M, N].
    """
    logits = head(features)
    log_probabilities = logits.log_softmax(1)
    loss = F.nll_loss(log_probabilities, labels)
    error = log_probabilities.exp_().div_(len(labels))  # −Δ / M, once the labels are taken off
    own = labels[:, None]
    error.scatter_add_(1, own, torch.full_like(own, -1 / len(labels), dtype=error.dtype))
    head.weight.grad = error.T @ features
    if head.bias is not None:
        head.bias.grad = error.sum(0)
    return loss, logits
