"""One update looked at closely: the quantities of the FAST paper's sections 3 and 4.

Symbols: a features, W head, θ body, ŷ = softmax(a Wᵀ), δ = y − ŷ, M images in a batch, N classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fastpipe.models.network import Network, body_parameters

__all__ = ["Look", "Observed", "prototype_cosine"]


class Observed(NamedTuple):
    """An update. The first four belong to its batch before it, the others to the update itself."""

    step: int
    squared_error: float | None
    """Mean ‖δ‖² over the batch (eq. 19)."""
    entropy: float | None
    """Mean entropy of ŷ over the batch, in nats (eq. 16)."""
    soft_accuracy: float | None
    """ψ, the mean probability of the true class (section 4.1.3)."""
    feature_gradient: float | None
    """Mean ‖∂ℓ/∂a‖ = ‖δ W‖ over the batch, ℓ being an image's own loss (section 4.1.4)."""
    head_update: float | None
    """‖ΔW‖_F: how far the update moved the head."""
    body_update: float | None
    """‖Δθ‖₂: how far it moved the parameters of the body."""
    body_norm: float | None
    """‖θ‖₂ after the update, over all parameters of the body."""
    body_distance: float | None
    """‖θ − θ_source‖₂ after the update: how far all updates together moved them."""


class Look:
    """What an update starts from; :meth:`after` it, what it did.

    Args:
        network: before the update.
        features, logits: of its batch, [M, D] and [M, N].
        labels: int64 [M].
        source: θ_source, in the order of :func:`~fastpipe.models.network.body_parameters`.
        body_moves: whether the update moves the body.
    """

    def __init__(
        self,
        network: Network,
        features: Tensor,
        logits: Tensor,
        labels: Tensor,
        source: Sequence[Tensor],
        body_moves: bool,
    ):
        self._features, self._labels, self._source = features.detach(), labels, source
        self._head = network.head.weight.detach().clone()
        body = body_parameters(network) if body_moves else []
        self._body = [parameter.detach().clone() for parameter in body]
        self._batch = _batch_quantities(logits.detach(), labels, self._head)

    def after(self, network: Network) -> Tensor:
        """The numbers of :class:`Observed` after its step, float64 [8], on the device."""
        head = (network.head.weight.detach() - self._head).norm().double()
        body = [parameter.detach() for parameter in body_parameters(network)]
        update = _distance(self._body, body) if self._body else head * 0
        sizes = [head, update, _norm(body), _distance(self._source, body)]
        return torch.cat([self._batch, torch.stack(sizes)])

    def prototype_cosine(self, network: Network) -> Tensor:
        """See :func:`prototype_cosine`; for the first update."""
        change = network.head.weight.detach() - self._head
        return prototype_cosine(change, self._features, self._labels)


@torch.no_grad()
def _batch_quantities(logits: Tensor, labels: Tensor, head: Tensor) -> Tensor:
    """Squared error, entropy, soft accuracy and feature gradient, float64 [4]."""
    log_probabilities = logits.double().log_softmax(1)
    probabilities = log_probabilities.exp()
    own = probabilities.gather(1, labels[:, None])
    error = -probabilities.scatter_add(1, labels[:, None], -torch.ones_like(own))  # δ = y − ŷ
    return torch.stack(
        [
            error.square().sum(1).mean(),
            -(probabilities * log_probabilities).sum(1).mean(),
            own.mean(),
            (error.to(head.dtype) @ head).norm(dim=1).double().mean(),
        ]
    )


def _distance(before: Sequence[Tensor], after: Sequence[Tensor]) -> Tensor:
    return _norm(torch._foreach_sub(list(after), list(before)))


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all tensors together, float64."""
    return torch.stack(torch._foreach_norm(tensors)).double().norm()


@torch.no_grad()
def prototype_cosine(change: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Cosine between a change of the head and the batch's class means minus its global mean.

    From W = 0, one step on a balanced batch gives W_n = (α/N)(μ_n − μ), so 1 (FAST, eq. 20).

    Args:
        change: W(1) − W(0), [N, D].
        features: the batch's, as the body gave them to the step (training mode), [M, D].
        labels: int64 [M].

    Returns:
        A scalar, float64; NaN if the head has not changed.
    """
    sums = torch.zeros_like(change, dtype=torch.float64)
    sums.index_add_(0, labels, features.double())
    counts = torch.bincount(labels, minlength=len(change)).clamp(min=1)
    prototypes = sums / counts[:, None] - features.double().mean(0)
    change = change.double()
    return (change * prototypes).sum() / (change.norm() * prototypes.norm())
