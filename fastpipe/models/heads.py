"""The linear head W, and how it starts."""

import math

import torch
from torch import nn

from fastpipe.config.head_init import HeadInit
from fastpipe.models.blank import WithoutDrawing

__all__ = ["build_head", "standard_deviation"]


def standard_deviation(init: HeadInit, features: int, classes: int, sigma: float) -> float:
    """Standard deviation of each entry of W(0), which is always normal with mean 0.

    Kaiming (He et al. 2015, arXiv:1502.01852, eqs 10 and 14): variance 2/D for fan-in, 2/N for
    fan-out. Xavier (Glorot & Bengio 2010, eq. 12): variance 2/(D+N), here normal, not uniform.

    Args:
        init: the distribution; `normal` has standard deviation `sigma`, `zeros` has 0.
        features: D.
        classes: N.
        sigma: used by `normal` only.
    """
    match init:
        case "normal":
            return sigma
        case "zeros":
            return 0.0
        case "kaiming-fan-in":
            return math.sqrt(2 / features)
        case "kaiming-fan-out":
            return math.sqrt(2 / classes)
        case "xavier":
            return math.sqrt(2 / (features + classes))
    raise ValueError(f"unknown head initialisation {init!r}")


def build_head(
    features: int,
    classes: int,
    *,
    init: HeadInit,
    sigma: float,
    bias: bool,
    generator: torch.Generator,
) -> nn.Linear:
    """A linear head with weight W(0) of shape [N, D], fp32, on the CPU; a bias starts at 0.

    The same D·N standard normals are drawn whatever `init` is, then scaled. So two recipes with
    one seed start from the same direction, and the generator ends in the same state.
    """
    if features < 1 or classes < 1:
        raise ValueError(f"a head needs features and classes, got {features} and {classes}")
    draw = torch.randn(classes, features, generator=generator)
    scale = standard_deviation(init, features, classes, sigma)
    with WithoutDrawing():  # no global random numbers; torch's skip_init imports its compiler
        head = nn.Linear(features, classes, bias=bias)
    with torch.no_grad():
        head.weight.copy_(draw.mul_(scale))
        if bias:
            head.bias.zero_()
    return head
