"""How to fine-tune."""

from typing import Literal

from pydantic import Field

from fastpipe.config.head_init import HeadInit
from fastpipe.config.model import Model


class Recipe(Model):
    """All of how to fine-tune: what moves, how the head starts, rates, optimiser, steps, phases.

    Flat on purpose: any field can be overridden or swept in a study's arm, and the name of the
    variant says which (`fast+alpha=0.1+steps=400`).
    """

    alpha: float = Field(default=0.01, ge=0)
    """Learning rate α of the head W; 0 keeps the head as it starts."""

    beta: float = Field(default=0.01, ge=0)
    """Learning rate β of the body θ; 0 keeps the body's parameters."""

    head_init: HeadInit = "kaiming-fan-in"
    """Distribution of W(0). Kaiming fan-in has variance 2/D, fan-out 2/N, Xavier 2/(D+N)."""

    head_sigma: float = Field(default=1e-8, ge=0)
    """Standard deviation of W(0) when `head_init` is `normal`."""

    head_bias: bool = False
    """Give the head a bias, started at 0 (the FAST paper's head a Wᵀ has none)."""

    body_mode: Literal["train", "inference"] = "train"
    """`inference`: BatchNorm uses, and keeps, the source's running statistics throughout."""

    warmup: Literal["none", "frozen-stats", "running-stats"] = "none"
    """Train only the head first, the body in inference mode (`frozen-stats`) or with its BatchNorm
    statistics still updating (`running-stats`), until validation accuracy stalls; then jointly."""

    warmup_patience: int = Field(default=10, ge=1)
    """Steps without an improvement after which warm-up ends."""

    warmup_gain: float = Field(default=0.01, gt=0, le=1)
    """Smallest rise of validation top-1 (fraction) that counts as an improvement in warm-up."""

    optimiser: Literal["sgd", "nesterov", "adam", "radam"] = "sgd"
    """Update rule, for head and body alike."""

    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of sgd and nesterov; β1 of adam and radam (β2 is 0.999)."""

    momentum_form: Literal["torch", "ema"] = "torch"
    """sgd only. `torch`: V ← M V + g. `ema`: V ← M V + (1−M) g with V = 0 at first, as the FAST
    paper's algorithms 1–2 write it."""

    weight_decay: float = Field(default=0.0, ge=0)
    """L2 coefficient λ added to the gradient as λθ, on head and body alike."""

    steps: int = Field(default=200, ge=1)
    """Optimiser updates."""

    batch_size: int = Field(default=100, ge=2)
    """Images per step, M; the same number of each class, so a multiple of the number of classes."""

    flip: bool = False
    """Mirror half of the training images horizontally, at random."""
