import pytest
import torch
import torchvision
from torch import nn

from fastpipe.config.backbone import Backbone
from fastpipe.config.backbone_names import BACKBONES, OURS
from fastpipe.forecast.networks import Network, network_of
from fastpipe.models.backbones import build_body, detach_head, torchvision_model

ONE_OF_EACH_FAMILY = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b1", "efficientnet_v2_s"),
    *("googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2"),
    *("mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet50", "resnext50_32x4d"),
    *("shufflenet_v2_x0_5", "swin_t", "swin_v2_t", "vgg11_bn", "vit_h_14", "wide_resnet50_2"),
)
ATTENTION = ("maxvit", "swin", "vit")


def counted(body: nn.Module, features: int, images: torch.Tensor) -> Network:
    """What a body has, and computes for an image: multiplications of its convolutions and linear
    layers, and the outputs of all modules that hold no others."""
    macs = activations = 0

    def note(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal macs, activations
        activations += output.numel()
        if isinstance(module, nn.Conv2d | nn.Linear):
            macs += output.numel() * module.weight[0].numel()

    for module in body.modules():
        if not [*module.children()]:
            module.register_forward_hook(note)
    with torch.inference_mode():
        body.eval()(images)
    numbers = sum(t.numel() for t in body.state_dict().values())
    return Network(numbers, features, macs / 1e9, activations, images.shape[-1])


@pytest.mark.parametrize(
    ("backbone", "channels"),
    [
        (Backbone(), 1),
        (Backbone(widths=(8, 8, 16, 16), normalisation="none"), 3),
        (Backbone(widths=(16, 32, 32, 64), skips=True), 3),
        (Backbone(name="lenet5"), 1),
    ],
    ids=str,
)
def test_our_own_networks_are_as_counted(backbone: Backbone, channels: int) -> None:
    network = network_of(backbone.model_dump(mode="json"), channels)
    body, features = build_body(backbone, channels, torch.Generator())
    found = counted(body, features, torch.zeros(1, channels, network.size, network.size))
    assert network._replace(gmacs=0) == found._replace(gmacs=0)
    assert network.gmacs == pytest.approx(found.gmacs, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY)
def test_a_network_of_each_family_is_as_counted(name: str, without_numbers) -> None:
    network = network_of({"name": name}, 3)
    with without_numbers():
        body, head = detach_head(torchvision_model(name))
        images = torch.zeros(1, 3, network.size, network.size)
    found = counted(body, head.in_features, images)
    assert network._replace(gmacs=0) == found._replace(gmacs=0)
    # torchvision's own counts of multiplications include the head, and those of attention
    assert network.gmacs == pytest.approx(found.gmacs, rel=0.04) or name.startswith(ATTENTION)


def test_all_are_as_torchvision_says() -> None:
    for name in set(BACKBONES) - set(OURS):
        network = network_of({"name": name}, 3)
        said = [weights.meta for weights in torchvision.models.get_model_weights(name)]
        assert network.gmacs in {one["_ops"] for one in said}, name
        with_head = network.numbers + (network.features + 1) * 1000
        for one in said:
            # other heads have weights that are to be trained on, and auxiliary ones inception's
            if len(one["categories"] or ()) == 1000 and name != "inception_v3":
                assert with_head == pytest.approx(one["num_params"], rel=0.02), name


def test_timms_networks_are_not_known() -> None:
    assert network_of({"name": "timm/resnet18"}, 3) is None


def test_multiplications_and_activations_grow_with_the_pixels() -> None:
    network = Network(1, 1, gmacs=2.0, activations=4, size=224)
    assert (network.gmacs_at(112), network.activations_at(448)) == (0.5, 16)
