"""How to fine-tune."""

from typing import Annotated, Literal

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
    """Coefficient λ of the regulariser: λ/2 ‖θ‖² for `l2`, λ/2 ‖θ − θ_source‖² on transferred
    parameters for `l2-sp` (there called λ1)."""

    effective_weight_decay: float | None = Field(default=None, ge=0)
    """λ' = λ/η, instead of `weight_decay`: each part's λ is λ' times its learning rate."""

    head_weight_decay: float | None = Field(default=None, ge=0)
    """Coefficient of 1/2 ‖W‖² on the head (λ2 of L2-SP); default: the same λ as the body."""

    regulariser: Literal["l2", "l2-sp"] = "l2"
    """What the body is pulled to: the origin, or where it started (L2-SP, Li et al. 2018)."""

    decayed: Literal["all", "weights"] = "all"
    """Parameters that are regularised: all, or weights only, neither biases nor BatchNorm's."""

    decay_form: Literal["coupled", "decoupled"] = "coupled"
    """sgd and nesterov. `coupled`: the regulariser's gradient is part of the gradient, so momentum
    gathers it (PyTorch). `decoupled`: θ ← θ + v − ηλθ (Li et al. 2020, equations 1–2); nesterov's
    network is validated and deployed at θ + m v, where its next gradient is taken."""

    bn_momentum: float | None = Field(default=None, ge=0, le=1)
    """Weight of the old running statistics in BatchNorm, 1 − PyTorch's `momentum`; default: the
    backbone's own (0.9 as a rule)."""

    schedule: Literal["constant", "step", "cosine", "exponential"] = "constant"
    """How both rates change over the steps: never; by `decay_factor` at each milestone; along half
    a cosine to 0; or geometrically to `decay_factor` times the first at the end."""

    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.833333)
    """`step` only: when, as fractions of the steps (150 and 250 of 300 epochs)."""

    decay_factor: float = Field(default=0.1, gt=0, le=1)
    """`step`: the factor at each milestone; `exponential`: the last rate over the first."""

    protocol: Literal["anytime", "final"] = "anytime"
    """`anytime`: dense early validations, and at Fibonacci checkpoints the best state so far is
    deployed (FAST paper). `final`: 20 evenly spaced validations, and only the state after the last
    step is deployed (hyperparameters paper); the initial one if the run diverged."""

    steps: int = Field(default=200, ge=1)
    """Optimiser updates."""

    batch_size: int = Field(default=100, ge=2)
    """Images per step, M; with `balanced` batches a multiple of the number of classes."""

    batches: Literal["balanced", "shuffled"] = "balanced"
    """`balanced`: the same number of images of each class in every step. `shuffled`: all images
    once per epoch in random order, as they come; suits classes of uneven size."""

    flip: bool = False
    """Mirror half of the training images horizontally, at random."""

    crop: Literal["none", "random", "resized"] = "none"
    """Show a random part of each training image, at the same size: `random` shifts it by up to an
    eighth of its side; `resized` takes 8–100 % of its area at a ratio of sides of 3/4 to 4/3."""

    colour_jitter: float = Field(default=0.0, ge=0, lt=1)
    """Change brightness, contrast and (of colour images) saturation of each training image by
    random factors between 1 − this and 1 + this."""
