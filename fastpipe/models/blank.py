"""Networks built without drawing random numbers, for tensors that are overwritten anyway."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["WithoutDrawing"]

_DRAWING = {
    *(Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.trunc_normal_),
    *(nn.init.kaiming_normal_, nn.init.kaiming_uniform_),
    *(nn.init.xavier_normal_, nn.init.xavier_uniform_),
}


class WithoutDrawing(TorchFunctionMode):
    """Inside `with WithoutDrawing():` in-place random initialisation leaves tensors as they are.

    Drawing 140 million normal numbers for a VGG-19 takes longer than reading it from disk. What is
    computed (tables of positions, ones and zeros) is computed as ever. Tensors may hold anything
    that lay in memory before, so every parameter must be loaded then (`load_into` sees to it).
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Let a call pass, unless it would draw."""
        if func in _DRAWING:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))
