"""Which network carries the features."""

from typing import Annotated, Literal

from pydantic import Field

from fastpipe.config.model import Model


class Backbone(Model):
    """A body φ with D features, by name."""

    name: str = "small-cnn"
    """`small-cnn`, `lenet5`, any classification model of torchvision (`resnet18`, …), or one of
    timm, written `timm/` and its name (`timm/resnet18`)."""

    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(16, 32, 64), min_length=1)
    """`small-cnn` only: channels after each 3×3 convolution. The first, and every one that is wider
    than the one before, halves the resolution; the last width is the feature length D."""

    skips: bool = False
    """`small-cnn` only: add to each convolution's result what went into it, where both have the
    same shape. With `normalisation: batch` this is the smooth one of two small landscapes."""

    normalisation: Literal["batch", "none"] = "batch"
    """`small-cnn` only: BatchNorm after each convolution, or a bias instead."""
