"""Backbones by name, known without importing torch; a test compares them with torchvision's."""

from fastpipe.config.backbone import Backbone

__all__ = ["BACKBONES", "OURS", "TIMM", "has_skips", "is_timm"]

OURS = ("small-cnn", "lenet5")
"""Backbones of our own, which take images of any number of channels; others take three."""

TIMM = "timm/"
"""Before the names of timm's models, of which there are too many to list."""


def is_timm(name: str) -> bool:
    """Whether a backbone is one of timm's."""
    return name.startswith(TIMM)


BACKBONES = (
    *OURS,
    "alexnet",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mnasnet0_75",
    "mnasnet1_0",
    "mnasnet1_3",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "regnet_x_16gf",
    "regnet_x_1_6gf",
    "regnet_x_32gf",
    "regnet_x_3_2gf",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_x_8gf",
    "regnet_y_128gf",
    "regnet_y_16gf",
    "regnet_y_1_6gf",
    "regnet_y_32gf",
    "regnet_y_3_2gf",
    "regnet_y_400mf",
    "regnet_y_800mf",
    "regnet_y_8gf",
    "resnet101",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "swin_b",
    "swin_s",
    "swin_t",
    "swin_v2_b",
    "swin_v2_s",
    "swin_v2_t",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
    "wide_resnet101_2",
    "wide_resnet50_2",
)

_WITHOUT_SKIPS = ("lenet5", "alexnet", "vgg", "googlenet", "inception_v3")
"""First letters of the names of those without shortcuts: one path, or parallel ones."""


def has_skips(backbone: Backbone) -> bool:
    """Whether a backbone has skip connections, by addition or concatenation.

    Li et al. 2018 (arXiv:1712.09913) find that they make a deep network's loss landscape smooth.
    """
    if backbone.name == "small-cnn":
        return backbone.skips
    return not backbone.name.removeprefix("timm/").startswith(_WITHOUT_SKIPS)
