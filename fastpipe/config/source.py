"""How a source is pretrained."""

from typing import Literal

from pydantic import Field

from fastpipe.config.backbone import Backbone
from fastpipe.config.head_init import HeadInit
from fastpipe.config.model import Model


class Pretraining(Model):
    """How a source learns its own task; all of it is part of every snapshot's spec."""

    epochs: float = Field(default=1.0, ge=0)
    """Length of pretraining in epochs; the learning-rate schedule spans it."""

    batch_size: int = Field(default=100, ge=2)
    """Images per step, shuffled each epoch; an incomplete last batch is dropped."""

    lr: float = Field(default=0.05, gt=0)
    """Learning rate of SGD."""

    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of SGD (PyTorch's form)."""

    weight_decay: float = Field(default=0.0, ge=0)
    """L2 coefficient λ added to the gradient as λθ."""

    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate over the epochs."""

    flip: bool = False
    """Mirror half of the training images horizontally, at random."""

    head_init: HeadInit = "kaiming-fan-in"
    """Distribution of the head's first weights W(0)."""

    head_sigma: float = Field(default=0.01, ge=0)
    """Standard deviation of W(0) when `head_init` is `normal`."""

    head_bias: bool = False
    """Give the head a bias (the FAST paper's head a Wᵀ has none)."""

    seed: int = Field(default=0, ge=0)
    """Seed of the initialisation and of the batch order."""


class Source(Pretraining):
    """A backbone trained on a dataset, kept at several epochs."""

    dataset: str
    """Name of the dataset it is trained on."""

    backbone: Backbone = Backbone()
    """The network."""

    snapshots: tuple[float, ...] = Field(min_length=1)
    """Epochs at which the source is kept, fractions included; 0 is the initialisation."""

    start: str | None = None
    """Start from another source's snapshot, written `source@epoch`, with a new head; default: from
    random initialisation."""
