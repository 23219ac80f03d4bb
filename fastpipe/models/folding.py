"""BatchNorm folded into convolutions, for fast inference.

In inference mode BatchNorm after a convolution is an affine map per channel, so that
    BN(w ∗ x + c) = (s w) ∗ x + (s (c − μ) + b),   s = γ / √(σ² + ε),
one convolution with other weights (Jacob et al. 2018, arXiv:1712.05877, section 3.2). Running
statistics μ, σ², scale γ and shift b change with every training step, so the graph is traced
once and only the folded weights are computed anew.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

__all__ = ["FoldedBody"]


class FoldedBody:
    """A copy of a body in inference mode that follows it at each :meth:`refresh`.

    Every BatchNorm directly after a convolution is folded into it; others (DenseNet normalises
    before it convolves) stay as they are. A body torch.fx cannot trace is copied unfolded. The
    live body's mode, parameters and buffers are never touched.

    Args:
        body: the live body, on its device.
        precision: `bf16` keeps the weights of convolutions and linear layers in bfloat16 and
            computes as autocast does, without its casts of the weights at every call.
    """

    def __init__(self, body: nn.Module, precision: str = "fp32"):
        self.precision = precision
        frozen = copy.deepcopy(body).eval().requires_grad_(False)
        self._body, self._folds = _fold(frozen)
        self._copies = _names_to_copy(self._body, frozen, self._folds)
        if precision == "bf16":
            _cast_weights(self._body)
        self.refresh(body)

    @property
    def folded(self) -> int:
        """Number of BatchNorm layers folded away."""
        return len(self._folds)

    @torch.no_grad()
    def refresh(self, body: nn.Module) -> None:
        """Take over the present parameters and running statistics of `body`.

        `body` must be of the same architecture as the one given at first.
        """
        live, own = _tensors(body), _tensors(self._body)
        for fold in self._folds:
            weight, bias = fold.compute(body)
            own[f"{fold.convolution}.weight"].copy_(weight)
            own[f"{fold.convolution}.bias"].copy_(bias)
        if self._copies:
            torch._foreach_copy_([own[n] for n in self._copies], [live[n] for n in self._copies])

    @torch.inference_mode()
    def __call__(self, inputs: Tensor) -> Tensor:
        """Features [M, D], fp32, of normalised fp32 images [M, C, H, W]."""
        enabled = self.precision == "bf16"
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=enabled):
            return self._body(inputs).float()


@dataclass(frozen=True)
class _Fold:
    """A convolution and the BatchNorm after it, by their names in the body."""

    convolution: str
    norm: str

    def compute(self, body: nn.Module) -> tuple[Tensor, Tensor]:
        """Weight and bias of the convolution that does both."""
        convolution, norm = body.get_submodule(self.convolution), body.get_submodule(self.norm)
        scale = torch.rsqrt(norm.running_var + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight
        shift = -norm.running_mean
        if convolution.bias is not None:
            shift = shift + convolution.bias
        bias = shift * scale if norm.bias is None else torch.addcmul(norm.bias, shift, scale)
        return convolution.weight * scale[:, None, None, None], bias


def _fold(body: nn.Module) -> tuple[nn.Module, list[_Fold]]:
    """The traced body without the BatchNorms that follow a convolution, and what was folded."""
    try:
        traced = fx.symbolic_trace(body)
    except Exception:  # whatever the body's forward does to a proxy; there is no narrower class
        return body, []
    folds = []
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    for node in list(traced.graph.nodes):
        if _is_foldable(node, traced, calls):
            convolution = node.args[0]
            folds.append(_Fold(convolution.target, node.target))
            _give_bias(traced.get_submodule(convolution.target))
            node.replace_all_uses_with(convolution)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced, folds


def _is_foldable(node: fx.Node, traced: fx.GraphModule, calls: Counter[str]) -> bool:
    """Whether `node` is a BatchNorm that alone uses the result of a convolution; each is called
    once, as folding changes the convolution everywhere it is called."""
    norm = _called(node, traced, nn.BatchNorm2d)
    if norm is None or norm.running_mean is None or len(node.args) != 1 or node.kwargs:
        return False
    before = node.args[0]
    return (
        _called(before, traced, nn.Conv2d) is not None
        and len(before.users) == 1
        and calls[before.target] == 1
        and calls[node.target] == 1
    )


def _called(node: fx.Node, traced: fx.GraphModule, kind: type[nn.Module]) -> nn.Module | None:
    """The module that `node` calls, if it is exactly of this kind (a subclass may do more)."""
    if node.op != "call_module":
        return None
    module = traced.get_submodule(node.target)
    return module if type(module) is kind else None


def _give_bias(convolution: nn.Conv2d) -> None:
    if convolution.bias is None:
        bias = convolution.weight.new_zeros(convolution.out_channels)
        convolution.bias = nn.Parameter(bias, requires_grad=False)


def _tensors(body: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name, those with two names under both."""
    parameters = body.named_parameters(remove_duplicate=False)
    return dict(parameters) | dict(body.named_buffers(remove_duplicate=False))


def _names_to_copy(folded: nn.Module, body: nn.Module, folds: Sequence[_Fold]) -> list[str]:
    """Parameters and buffers that go into the folded body as they are."""
    computed = {f"{fold.convolution}.{part}" for fold in folds for part in ("weight", "bias")}
    common = _tensors(folded).keys() & _tensors(body).keys()
    counters = {name for name in common if name.endswith("num_batches_tracked")}
    return sorted(common - computed - counters)


def _cast_weights(body: nn.Module) -> None:
    """Keep in bfloat16 what autocast would cast at each call."""
    for module in body.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(torch.bfloat16)
