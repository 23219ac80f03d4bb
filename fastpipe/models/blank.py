"""Networks built without drawing random numbers, for tensors that are overwritten anyway."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["WithoutDrawing"]


class WithoutDrawing(TorchFunctionMode):
    """Inside `with WithoutDrawing():` in-place random initialisation fills with the mean instead.

    Drawing 140 million normal numbers for a VGG-19 takes longer than reading it from disk. What is
    computed (tables of positions, ones and zeros) is computed as ever. The mean, and not whatever
    lay in memory, because `trunc_normal_` draws again and again until all numbers are in range.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Let a call pass, unless it would draw."""
        kwargs = kwargs or {}
        if func not in _MEANS:
            return func(*args, **kwargs)
        with torch.no_grad():
            return _MEANS[func](*args, **kwargs)


def _normal(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    return tensor.fill_(mean)


def _uniform(tensor: Tensor, a: float = 0.0, b: float = 1.0, **named: Any) -> Tensor:
    return tensor.fill_((named.get("from", a) + named.get("to", b)) / 2)


def _centred(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return tensor.zero_()


_MEANS = {
    **{Tensor.normal_: _normal, nn.init.normal_: _normal},
    **{Tensor.uniform_: _uniform, nn.init.uniform_: _uniform},
    **{nn.init.kaiming_normal_: _centred, nn.init.kaiming_uniform_: _centred},
    **{nn.init.xavier_normal_: _centred, nn.init.xavier_uniform_: _centred},
}
