import pytest
import torch
from torch import nn

from fastpipe.config.backbone import Backbone
from fastpipe.config.backbone_names import BACKBONES
from fastpipe.forecast.networks import Network, network_of
from fastpipe.models.backbones import build_body


def counted(backbone: Backbone, channels: int, size: int) -> tuple[int, int, float]:
    """Numbers in a body's state, features, and 10⁹ multiplications of its convolutions and linear
    layers."""
    body, features = build_body(backbone, channels, torch.Generator())
    macs = 0

    def note(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal macs
        macs += output.numel() * module.weight[0].numel()

    for module in body.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(note)
    with torch.inference_mode():
        body.eval()(torch.zeros(1, channels, size, size))
    return sum(t.numel() for t in body.state_dict().values()), features, macs / 1e9


@pytest.mark.parametrize(
    ("backbone", "channels"),
    [
        (Backbone(), 1),
        (Backbone(widths=(8, 8, 16, 16), normalisation="none"), 3),
        (Backbone(widths=(16, 32, 32, 64), skips=True), 3),
        (Backbone(name="lenet5"), 1),
        (Backbone(name="resnet18"), 3),
        (Backbone(name="mobilenet_v3_small"), 3),
        (Backbone(name="densenet121"), 3),
    ],
    ids=str,
)
def test_what_the_table_says_is_what_a_network_has(backbone: Backbone, channels: int) -> None:
    network = network_of(backbone.model_dump(mode="json"), channels)
    numbers, features, gmacs = counted(backbone, channels, network.size)
    assert (network.numbers, network.features) == (numbers, features)
    # torchvision's own counts, of a thousand classes, are rounded and include the head
    assert network.gmacs == pytest.approx(gmacs, rel=0.04, abs=1e-5)


def test_every_backbone_but_timms_is_known() -> None:
    for name in BACKBONES:
        fields = Backbone(name=name).model_dump(mode="json")
        assert isinstance(network_of(fields, 3), Network), name
    assert network_of({"name": "timm/resnet18"}, 3) is None


def test_multiplications_grow_with_the_pixels() -> None:
    assert Network(1, 1, 2.0, 224).gmacs_at(112) == 0.5
