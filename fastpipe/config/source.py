"""Where a source comes from: pretrained by us, or released weights."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from fastpipe.config.backbone import Backbone
from fastpipe.config.head_init import HeadInit
from fastpipe.config.model import Model, PathText, Sha256


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

    schedule: Literal["constant", "step", "cosine"] = "constant"
    """Learning rate over the epochs: the same; times `decay_factor` at each milestone; or along
    half a cosine to 0."""

    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.75,)
    """`step` only: when, as fractions of the epochs (45 of 60)."""

    decay_factor: float = Field(default=0.1, gt=0, le=1)
    """`step` only: the factor at each milestone."""

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


SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".tar", ".ckpt")
"""By which a local file of weights is told from the name of released ones."""

Library = Literal["torchvision", "timm", "file"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Deviation = Annotated[float, Field(gt=0, le=1)]


def _snapshots(given: dict[str, Any]) -> tuple[float, ...]:
    """Released weights are at epoch 0; a source of ours names its snapshots (checked later)."""
    return (0.0,) if given.get("library") else ()


class Source(Pretraining):
    """A backbone trained on a dataset and kept at several epochs, or a released one."""

    dataset: str | None = None
    """Name of the dataset it is trained on. Released weights need none; without it the source has
    no forgetting and no similarity to a target."""

    backbone: Backbone = Backbone()
    """The network."""

    library: Library | None = None
    """Who made the weights: `torchvision`, `timm`, or `file` for a file of anyone's. Default:
    pretrained here. Released weights have one snapshot, `source@0`, and no keys of training."""

    weights: PathText | None = None
    """Which weights, or the local file that holds them (`.safetensors`, or a state dict in a `.pt`,
    `.pth`, `.bin`, `.tar` or `.ckpt`): for torchvision a name as `IMAGENET1K_V1` (default: the
    model's best), for timm a tag as `a1_in1k` (default: the model's own), for `file` the path."""

    mean: tuple[Fraction, ...] | None = Field(default=None, min_length=1, max_length=3)
    """Mean of the images in [0, 1], by channel, that the weights expect to be subtracted; default:
    as the library says."""

    std: tuple[Deviation, ...] | None = Field(default=None, min_length=1, max_length=3)
    """Standard deviation of the images in [0, 1], by channel, that the weights expect images to be
    divided by; default: as the library says."""

    sha256: Sha256 | None = None
    """Expected SHA-256 of the local file of weights."""

    snapshots: tuple[float, ...] = Field(default_factory=_snapshots, min_length=1)
    """Epochs at which the source is kept, fractions included; 0 is the initialisation, or the
    released weights."""

    start: str | None = None
    """Start from another source's snapshot, written `source@epoch`, with a new head; default: from
    random initialisation."""

    @property
    def file(self) -> Path | None:
        """The local file of released weights, if they are read from one."""
        text = self.weights or ""
        local = self.library == "file" or "/" in text or text.endswith(SUFFIXES)
        return Path(text).expanduser() if text and local else None
