"""BatchNorm's momentum in the convention of the hyperparameters paper.

There (Li et al. 2020, appendix C) and in MXNet and TensorFlow, momentum is the weight of the *old*
running statistics: running ← m · running + (1 − m) · batch. PyTorch's `momentum` is 1 − m.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["batchnorm_momentum"]


@contextmanager
def batchnorm_momentum(body: nn.Module, momentum: float | None) -> Iterator[None]:
    """Give every BatchNorm of a body this momentum m for a while; None leaves each its own.

    Their own are put back at the end: the runs of other recipes may use the same network.
    """
    layers = [module for module in body.modules() if isinstance(module, _BatchNorm)]
    before = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.momentum = layer.momentum if momentum is None else 1 - momentum
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.momentum = own
