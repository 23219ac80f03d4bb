"""Bodies: networks that end in D features, for a linear head to classify.

Two small ones of our own, every classification model of torchvision that ends in a linear layer,
and timm's. A body maps normalised images [M, C, H, W] to features [M, D].
"""

import copy
import difflib
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fastpipe.config.backbone import Backbone
from fastpipe.config.backbone_names import BACKBONES, OURS, TIMM, is_timm
from fastpipe.errors import UserError

__all__ = [
    "EXCLUDED",
    "build_body",
    "check_size",
    "detach_head",
    "head_place",
    "lenet5",
    "small_cnn",
    "timm_model",
    "torchvision_model",
]

EXCLUDED = dict.fromkeys(
    ("squeezenet1_0", "squeezenet1_1"),
    "its classifier is a convolution, then ReLU, then pooling, so it has no linear head",
)
"""Classification models of torchvision that are no body with a linear head, and why."""


def small_cnn(
    channels: int,
    widths: Sequence[int],
    skips: bool = False,
    normalisation: Literal["batch", "none"] = "batch",
) -> nn.Sequential:
    """3×3 convolutions with BatchNorm and ReLU, then the mean over all positions.

    The first convolution, and every one that is wider than the one before, has stride 2. Works at
    any image size from 4 pixels. D is the last width.

    Args:
        channels: of the images.
        widths: channels after each convolution.
        skips: add a convolution's input to its result, before the ReLU, where both have the same
            shape (He et al. 2016, arXiv:1512.03385, with one convolution a block).
        normalisation: `none` gives the convolutions a bias instead of BatchNorm.
    """
    layers: list[nn.Module] = []
    before = 0
    for width in widths:
        stride = 2 if width > before else 1
        plain = normalisation == "none"
        convolution = nn.Conv2d(before or channels, width, 3, stride, padding=1, bias=plain)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        if plain:
            nn.init.zeros_(convolution.bias)
        block = [convolution] if plain else [convolution, nn.BatchNorm2d(width)]
        if skips and width == before:
            block = [_Skip(*block)]
        layers += [*block, nn.ReLU(inplace=True)]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class _Skip(nn.Sequential):
    """Layers whose input is added to their result."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) + inputs


def lenet5(channels: int) -> nn.Sequential:
    """LeNet-5 up to its layer F6, so D = 84 (LeCun et al. 1998, Proc. IEEE 86(11), fig. 2).

    Takes 32×32 pixels; 28×28 are padded to that, as in the paper. Plain tanh; all maps of S2 feed
    all of C3; subsampling is the mean alone, without the paper's trained coefficients.
    """
    return nn.Sequential(
        _PadTo32(),
        nn.Conv2d(channels, 6, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(120, 84),
        nn.Tanh(),
    )


class _PadTo32(nn.Module):
    """Zeros around images of 28 pixels; images of 32 pass."""

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if (height, width) not in ((28, 28), (32, 32)):
            raise UserError(
                f"lenet5 takes images of 28 or 32 pixels, not {height}×{width}. Set the dataset's "
                "`size` to 28 or 32, or choose another backbone."
            )
        return nn.functional.pad(images, [(32 - width) // 2] * 4)


def build_body(
    backbone: Backbone, channels: int, generator: torch.Generator
) -> tuple[nn.Module, int]:
    """A freshly initialised body on the CPU, in training mode, and its number of features D.

    Everything random comes from `generator`; the global random state is left as it was.

    Raises:
        UserError: unknown backbone, or a library's model with other than 3 channels.
    """
    _check_name(backbone.name)
    if backbone.name not in OURS and channels != 3:
        raise UserError(
            f"backbone {backbone.name!r} takes images of 3 channels, not {channels}. Set the "
            "dataset's `channels` to 3, or choose small-cnn or lenet5."
        )
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # of the CPU only; torch.manual_seed seeds CUDA
        if backbone.name == "small-cnn":
            body = small_cnn(channels, backbone.widths, backbone.skips, backbone.normalisation)
            return body, backbone.widths[-1]
        if backbone.name == "lenet5":
            return lenet5(channels), 84
        if is_timm(backbone.name):
            body = timm_model(backbone.name, num_classes=0)
            return body, getattr(body, "head_hidden_size", None) or body.num_features
        body, head = detach_head(torchvision_model(backbone.name))
        return body, head.in_features


def _check_name(name: str) -> None:
    if name in EXCLUDED:
        raise UserError(f"backbone {name!r} cannot be used: {EXCLUDED[name]}. Choose another one.")
    if name not in BACKBONES and not is_timm(name):
        near = difflib.get_close_matches(name.lower(), BACKBONES, n=1, cutoff=0.0)[0]
        raise UserError(
            f"backbone {name!r} is unknown. The nearest name is {near!r}; valid are small-cnn, "
            "lenet5 and torchvision's classification models."
        )


def torchvision_model(name: str) -> nn.Module:
    """Torchvision's model with random weights and without auxiliary classifiers."""
    import torchvision

    # Both have auxiliary classifiers, which would turn the output into a tuple in training mode.
    auxiliary = {"googlenet", "inception_v3"}
    options = {"aux_logits": False, "init_weights": True} if name in auxiliary else {}
    return torchvision.models.get_model(name, weights=None, **options)


def timm_model(name: str, **options: Any) -> nn.Module:
    """timm's model `timm/name`, or `timm/name.tag`, with random weights unless asked otherwise.

    Raises:
        UserError: timm is not installed, or has no such model.
    """
    try:
        import timm
    except ImportError:
        raise UserError(
            f"backbone {name!r} needs timm, which is not installed. Run: pip install timm"
        ) from None
    short = name.removeprefix(TIMM)
    model = short.partition(".")[0]
    if not timm.is_model(model):
        close = difflib.get_close_matches(model, timm.list_models(), n=1)
        hint = f" Did you mean {TIMM + close[0]!r}?" if close else ""
        raise UserError(f"timm has no model {model!r}.{hint}")
    return timm.create_model(short, **{"pretrained": False} | options)


def head_place(model: nn.Module) -> str:
    """Name of a classifier's last linear layer, its head.

    Raises:
        ValueError: the model has no linear layer.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(f"{type(model).__name__} has no linear layer to detach")
    return linear[-1]


def detach_head(model: nn.Module) -> tuple[nn.Module, nn.Linear]:
    """Split a classifier whose last operation is a linear layer: head(body(x)) == model(x).

    The model itself becomes the body, with the identity in the head's place; what comes before
    the head, dropout included, stays in the body.

    Raises:
        ValueError: the model has no linear layer.
    """
    place = head_place(model)
    head = model.get_submodule(place)
    parent, _, child = place.rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())
    return model, head


def check_size(body: nn.Module, name: str, channels: int, size: int) -> None:
    """Raise UserError unless `body` takes square images of `size` pixels.

    Tried on torch's meta device, which works out shapes and computes nothing.
    """
    shapes_only = copy.deepcopy(body).eval().to("meta")
    try:
        shapes_only(torch.empty(2, channels, size, size, device="meta"))
    except UserError:
        raise
    except Exception as error:  # torchvision raises AssertionError, RuntimeError, ValueError, …
        reason = str(error).rstrip(".! ")
        raise UserError(
            f"backbone {name!r} does not take images of {size}×{size} pixels: {reason}. Set the "
            "dataset's `size` to one it takes (224 suits every one), or choose small-cnn."
        ) from error
