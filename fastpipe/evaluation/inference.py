"""Fast inference: features, loss and accuracies of a network on a split.

Evaluation is the hot path (the protocol validates every 1–10 steps), so the body runs with folded
BatchNorm, in channels_last, in inference mode, in bf16 where the network does, on batches sized
for the device. Images stay uint8 until they are on the device, and consecutive images are sliced,
not gathered.

What it promises: the live network's mode, buffers, gradients and random state are untouched; in
fp32 the counts of correct images do not depend on the batch size; in bf16 a feature may differ
by its last bit (2⁻⁸ relative) from one batch size to another.

Symbols: n images, M of them in a batch, D features, N classes.
"""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from fastpipe.data.arrays import Split
from fastpipe.models.folding import FoldedBody
from fastpipe.models.network import Network, Precision

__all__ = ["Evaluator", "Score", "images_per_batch"]

_PIXELS_PER_BATCH = {"cpu": 2**19, "cuda": 2**24}
_LOGITS_AT_ONCE = 2**24  # 64 MiB in fp32


class Score(NamedTuple):
    """How well labels are predicted."""

    loss: float
    """Mean cross-entropy, in nats, summed in float64."""
    top1: float
    """Fraction of images whose label has the highest logit (the first class on ties)."""
    top5: float | None
    """Fraction with the label among the five highest logits; None if there are at most 5 classes,
    where it says nothing."""
    images: int
    """Number of images."""
    correct: int
    """Number of images counted by `top1`."""


class Evaluator:
    """An inference-mode copy of a network that follows it at each :meth:`refresh`.

    Args:
        network: the live network; copied, never changed.
        precision: arithmetic of the body, `fp32` or `bf16`; default: the network's own.
        batch_size: images per forward pass; default: by the image size and the device
            (:func:`images_per_batch`).
    """

    def __init__(
        self,
        network: Network,
        precision: Precision | None = None,
        batch_size: int | None = None,
    ):
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.precision = precision or network.precision
        self.batch_size = batch_size
        self._body = FoldedBody(network.body, self.precision)
        self.refresh(network)

    def refresh(self, network: Network) -> None:
        """Take over the present parameters and running statistics of `network`."""
        self._body.refresh(network.body)
        self._normalise = copy.deepcopy(network.normalise)
        self._weight = network.head.weight.detach().clone()
        self._bias = None if network.head.bias is None else network.head.bias.detach().clone()

    @property
    def device(self) -> torch.device:
        """Where the network lives and inference happens."""
        return self._weight.device

    def feature_batches(self, split: Split) -> Iterator[Tensor]:
        """Features of all images in order, batch by batch: float32 [M, D] on the device."""
        for images in split.images.split(self._images_per_batch(split.images)):
            yield self.features_of(images.to(self.device, non_blocking=True))

    def features(self, split: Split) -> Tensor:
        """Features of all images in order: float32 [n, D] on the network's device."""
        return torch.cat(list(self.feature_batches(split)))

    def score(self, split: Split) -> Score:
        """Loss and accuracies of the network's own head, in one pass over the images."""
        return self.score_head(self.features(split), self._weight, self._bias, split.labels)

    def score_head(
        self, features: Tensor, head_weight: Tensor, head_bias: Tensor | None, labels: Tensor
    ) -> Score:
        """Loss and accuracies of any head on features computed before.

        Args:
            features: [n, D], from :meth:`features`.
            head_weight: [N, D].
            head_bias: [N], or None.
            labels: int64 [n].

        Raises:
            ValueError: there are no images.
        """
        images, classes = len(labels), len(head_weight)
        if not images:
            raise ValueError("no images to score")
        weight, bias = (None if t is None else t.to(features) for t in (head_weight, head_bias))
        labels = labels.to(features.device)
        rows = max(1, _LOGITS_AT_ONCE // classes)
        parts = zip(features.split(rows), labels.split(rows), strict=True)
        sums = sum(_sums(some, weight, bias, theirs) for some, theirs in parts)
        loss, first, fifth = sums.tolist()
        top5 = fifth / images if classes > 5 else None
        return Score(loss / images, first / images, top5, images, int(first))

    def predict_head(
        self, features: Tensor, head_weight: Tensor, head_bias: Tensor | None
    ) -> Tensor:
        """Class that any head predicts, int64 [n]: the one `top1` of :meth:`score_head` counts.

        The highest logit, the first class on ties; -1 where a logit is no number.

        Args:
            features: [n, D], from :meth:`features`.
            head_weight: [N, D].
            head_bias: [N], or None.
        """
        weight, bias = (None if t is None else t.to(features) for t in (head_weight, head_bias))
        rows = max(1, _LOGITS_AT_ONCE // len(head_weight))
        return torch.cat([_predictions(some, weight, bias) for some in features.split(rows)])

    def _images_per_batch(self, images: Tensor) -> int:
        return self.batch_size or images_per_batch(images.shape[-2:], self.device)

    @torch.inference_mode()
    def features_of(self, images: Tensor) -> Tensor:
        """Features [M, D], fp32, of one batch of uint8 images [M, C, H, W] on the device."""
        return self._body(self._normalise(images))


def images_per_batch(size: tuple[int, int], device: torch.device) -> int:
    """Images of `size` (H, W) in one forward pass.

    A number of pixels that fits the activations of common networks into the cache of a CPU core
    or into a few gigabytes of a GPU. It depends on nothing that varies from run to run, such as
    the memory free at the moment, so that neither do the results.
    """
    height, width = size
    return max(1, _PIXELS_PER_BATCH[device.type] // (height * width))


@torch.inference_mode()
def _sums(features: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    """Sums over images, float64 [3]: cross-entropy, labels ranked first, labels among five."""
    logits = _logits(features, weight, bias)
    own = logits.gather(0, labels[None])
    losses = (logits - own).logsumexp(0).double()
    rank = _rank(logits, own, labels)
    return torch.stack([losses.sum(), (rank < 1).sum(), (rank < 5).sum()])


@torch.inference_mode()
def _predictions(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    logits = _logits(features, weight, bias)
    return logits.argmax(0).masked_fill(logits.isnan().any(0), -1)


def _logits(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """[N, M]: sums over classes then run along the memory."""
    logits = weight @ features.T
    return logits if bias is None else logits.add_(bias[:, None])


def _rank(logits: Tensor, own: Tensor, labels: Tensor) -> Tensor:
    """How many classes come before the label, [M]: a higher logit, or an equal one and a lower
    index. A label whose logit is NaN comes last, after every class.

    Args:
        logits: [N, M].
        own: the labels' logits, [1, M].
        labels: [M].
    """
    lower_index = torch.arange(len(logits), device=logits.device)[:, None] < labels
    return (~(logits <= own) | ((logits == own) & lower_index)).sum(0)
