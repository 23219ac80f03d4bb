"""Networks built without drawing random numbers, for tensors that are overwritten anyway."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["WithoutDrawing"]


class WithoutDrawing(TorchFunctionMode):
    """Inside `with WithoutDrawing():` in-place random initialisation leaves tensors as they are.

    Drawing 140 million normal numbers for a VGG-19 takes longer than reading it from disk. What is
    computed (tables of positions, ones and zeros) is computed as ever. Every parameter must be
    loaded then, as `load_into` sees to: some hold whatever lay in memory.
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
        if func not in _INSTEAD:
            return func(*args, **kwargs)
        with torch.no_grad():
            return _INSTEAD[func](*args, **kwargs)


def _untouched(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return tensor


# The mean, and not whatever lay in memory, because `nn.init.trunc_normal_` calls these and draws
# again and again until all numbers are in range.
def _normal(tensor: Tensor, mean: float = 0.0, *args: Any, **kwargs: Any) -> Tensor:
    return tensor.fill_(mean)


def _uniform(tensor: Tensor, low: float = 0.0, high: float = 1.0, **named: Any) -> Tensor:
    return tensor.fill_((named.get("from", low) + named.get("to", high)) / 2)


_INSTEAD = {
    **{Tensor.normal_: _normal, Tensor.uniform_: _uniform},
    **{nn.init.normal_: _untouched, nn.init.uniform_: _untouched},
    **{nn.init.kaiming_normal_: _untouched, nn.init.kaiming_uniform_: _untouched},
    **{nn.init.xavier_normal_: _untouched, nn.init.xavier_uniform_: _untouched},
}
