"""Whether gradients and states are finite, at little cost.

A gradient that is not finite under a loss that is comes from an overflow or 0/0 in the backward
pass. Its update may stay unseen: a bias of −∞ is a dead unit, a running variance of ∞ a constant
one, and both give finite losses.

Only where the body moves need gradients be looked at. The head's is a mean of features weighted by
numbers in [−1, 1], so it is no larger than they are; and features that are not finite give a loss
that is not. Measured on 2 cores with one thread: 0.06 % of a step of small-cnn, 0.3 % (fp32) to
0.6 % (bf16) of one of ResNet-18 at 64 pixels. The largest absolute value, or torch's `isfinite`,
costs 1 to 10 %.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter

__all__ = ["is_finite", "spoilt"]


@torch.no_grad()
def spoilt(parameters: Iterable[Parameter]) -> Tensor:
    """1 if a gradient has an element that is not finite, else 0: float32, a scalar.

    Nothing waits for the device. Parameters without a gradient do not count. By the check of
    torch's `GradScaler`, which also scales; by 1, so the gradients keep their bits.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    device = gradients[0].device if gradients else "cpu"
    found = torch.zeros((), device=device)
    if gradients:
        one = torch.ones((), device=device)
        torch._amp_foreach_non_finite_check_and_unscale_(gradients, found, one)
    return found


@torch.no_grad()
def is_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all elements of all floating-point tensors are finite; waits for the device.

    A finite sum has finite terms only. Other sums may be finite numbers' overflow: then each
    element is looked at, which takes 50 times as long.
    """
    tensors = [tensor for tensor in tensors if tensor.is_floating_point()]
    if not tensors or torch.stack([tensor.sum() for tensor in tensors]).isfinite().all():
        return True
    return all(tensor.isfinite().all() for tensor in tensors)
