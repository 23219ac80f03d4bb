import operator

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fastpipe.config.backbone import Backbone
from fastpipe.config.backbone_names import BACKBONES, has_skips
from fastpipe.errors import UserError
from fastpipe.models.backbones import (
    EXCLUDED,
    build_body,
    check_size,
    detach_head,
    lenet5,
    small_cnn,
    torchvision_model,
)

TORCHVISION = sorted(
    set(torchvision.models.list_models(module=torchvision.models)) - EXCLUDED.keys()
)
FAMILIES = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s"),
    *("googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2"),
    *("mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50"),
    *("resnext50_32x4d", "shufflenet_v2_x0_5", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_32"),
)


def body_of(name="small-cnn", channels=3, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return build_body(Backbone(name=name, **options), channels, generator)


def side(name):
    """A small image size the model takes."""
    exact = {"inception_v3": 75, "maxvit_t": 224} | dict.fromkeys(
        [name for name in TORCHVISION if name.startswith("vit")], 224
    )
    return exact.get(name, 64)


# --- torchvision


def test_every_classification_model_is_offered_or_excluded():
    offered = set(BACKBONES) - {"small-cnn", "lenet5"}
    assert offered | EXCLUDED.keys() == set(
        torchvision.models.list_models(module=torchvision.models)
    )


@pytest.mark.parametrize("name", sorted(EXCLUDED))
def test_what_is_excluded_has_no_linear_layer(name):
    modules = torchvision.models.get_model(name).modules()
    assert not [module for module in modules if isinstance(module, nn.Linear)]


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_output_of_every_model_is_that_of_its_head(name, without_numbers):
    """Proves head(body(x)) == model(x) without computing either: the model returns the very
    tensor its last linear layer made, and the body the very one that layer was given."""
    with without_numbers():
        model = torchvision_model(name).eval()
    calls = []
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    hook = linear.register_forward_hook(lambda _, given, made: calls.append((*given, made)))
    images = torch.empty(2, 3, side(name), side(name), device="meta")
    assert model(images) is calls[0][1]
    hook.remove()

    body, head = detach_head(model)
    assert head is linear
    entered = []
    place = [module for module in body.modules() if isinstance(module, nn.Identity)][-1]
    place.register_forward_hook(lambda _, given, made: entered.append((*given, made)))
    features = body(images)
    assert features is entered[0][0] is entered[0][1]
    assert features.shape == calls[0][0].shape == (2, head.in_features)


@pytest.mark.parametrize("name", FAMILIES)
def test_head_on_body_is_the_model_in_numbers(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torchvision_model(name).eval()
        head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        nn.init.normal_(head.weight)  # a ViT's head starts at 0
    images = torch.randn(2, 3, side(name), side(name), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = model(images)
        body, head = detach_head(model)
        assert torch.equal(head(body(images)), logits)
    assert logits.shape == (2, 1000)
    assert logits.isfinite().all()
    assert logits.any()


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_classifiers_are_left_out(name):
    body, features = body_of(name)
    found = body.train()(torch.randn(2, 3, 75, 75))
    assert isinstance(found, torch.Tensor)
    assert found.shape == (2, features)
    assert not [key for key in body.state_dict() if "aux" in key.lower()]


def test_dropout_before_the_head_stays_in_the_body():
    body, features = body_of("mobilenet_v3_small")
    assert isinstance(body.classifier[-2], nn.Dropout)
    assert isinstance(body.classifier[-1], nn.Identity)
    assert features == 1024


def test_a_model_without_a_linear_layer_has_no_head():
    with pytest.raises(ValueError, match="Sequential has no linear layer to detach"):
        detach_head(nn.Sequential(nn.ReLU()))


# --- our own


@given(
    widths=st.lists(st.sampled_from((4, 8, 12, 16)), min_size=1, max_size=5),
    channels=st.sampled_from((1, 3)),
    size=st.integers(4, 33),
)
@settings(deadline=None, max_examples=40)
def test_small_cnn_halves_the_resolution_where_it_widens(widths, channels, size):
    body = small_cnn(channels, widths)
    maps = torch.zeros(2, channels, size, size)
    previous = 0
    for index, width in enumerate(widths):
        if width > previous:
            size = (size + 1) // 2
        maps = body[3 * index : 3 * index + 3](maps)
        assert maps.shape == (2, width, size, size)
        previous = width
    features = body[3 * len(widths) :](maps)
    torch.testing.assert_close(features, maps.mean((2, 3)))
    assert not any(isinstance(m, nn.Conv2d) and m.bias is not None for m in body)


def test_small_cnn_starts_with_kaiming_weights():
    weight = body_of(widths=(256, 128))[0][3].weight
    assert weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.01)


@pytest.mark.parametrize("size", [28, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_lenet5_has_the_layers_of_the_paper(size, channels):
    body, features = body_of("lenet5", channels)
    assert features == 84
    assert body(torch.zeros(2, channels, size, size)).shape == (2, 84)
    layers = [m for m in body if isinstance(m, nn.Conv2d | nn.Linear)]
    counts = [sum(p.numel() for p in layer.parameters()) for layer in layers]
    # C1 156 with one channel, C5 48120 and F6 10164 as in the paper; its C3 is sparse (1516).
    assert counts == [6 * (25 * channels + 1), 16 * (6 * 25 + 1), 48120, 10164]


def test_lenet5_pads_28_pixels_to_32():
    body = lenet5(1).eval()
    images = torch.randn(2, 1, 28, 28)
    assert torch.equal(body(images), body(nn.functional.pad(images, (2, 2, 2, 2))))


# --- initialisation and mistakes


@pytest.mark.parametrize("name", ["small-cnn", "lenet5", "mobilenet_v3_small"])
def test_initialisation_is_a_function_of_the_generator(name):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = body_of(name)[0].state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = body_of(name)[0].state_dict(), body_of(name, seed=1)[0].state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(
    ("name", "channels", "message"),
    [
        ("ResNet-18", 3, r"backbone 'ResNet-18' is unknown\. The nearest name is 'resnet18'"),
        ("smallcnn", 1, r"'smallcnn' is unknown\. The nearest name is 'small-cnn'"),
        ("squeezenet1_0", 3, r"'squeezenet1_0' cannot be used: its classifier is a convolution"),
        ("resnet18", 1, r"'resnet18' takes images of 3 channels, not 1\. Set the dataset's"),
    ],
)
def test_wrong_backbones_are_user_errors(name, channels, message):
    with pytest.raises(UserError, match=message):
        body_of(name, channels)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("lenet5", 30, r"lenet5 takes images of 28 or 32 pixels, not 30×30"),
        ("vit_b_32", 64, r"'vit_b_32' does not take images of 64×64 pixels: Wrong image height"),
        ("inception_v3", 28, r"'inception_v3' does not take images of 28×28 pixels: .*Kernel size"),
    ],
)
def test_wrong_sizes_are_user_errors(name, size, message):
    with pytest.raises(UserError, match=message):
        check_size(body_of(name)[0], name, 3, size)


def test_checking_a_size_leaves_the_body_alone():
    body, _ = body_of()
    before = {key: value.clone() for key, value in body.state_dict().items()}
    check_size(body, "small-cnn", 3, 28)
    assert body.training
    assert all(torch.equal(value, before[key]) for key, value in body.state_dict().items())


# --- a smooth and a rough landscape ---------------------------------------------------------


def test_a_skip_adds_the_input_where_shapes_agree():
    """Written out for widths 4, 8, 8: only the last convolution has a shortcut."""
    torch.manual_seed(0)
    body = small_cnn(1, (4, 8, 8), skips=True)
    images = torch.randn(3, 1, 12, 12)
    first, norm_1, _, second, norm_2, _, skip, *_ = body
    x = norm_1(first(images)).relu()
    x = norm_2(second(x)).relu()
    x = (skip[1](skip[0](x)) + x).relu()
    torch.testing.assert_close(body(images), x.mean((2, 3)))


def test_skips_add_no_parameters():
    plain, skips = (small_cnn(1, (4, 8, 8, 8), skips=skips) for skips in (False, True))
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in skips.parameters())


def test_without_normalisation_convolutions_have_a_bias():
    body = small_cnn(3, (4, 8, 8), normalisation="none")
    kinds = [type(module).__name__ for module in body]
    assert kinds == ["Conv2d", "ReLU"] * 3 + ["AdaptiveAvgPool2d", "Flatten"]
    assert all(module.bias.eq(0).all() for module in body if isinstance(module, torch.nn.Conv2d))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[(name, True) for name in ("resnet18", "densenet201", "resnext101_32x8d", "vit_b_16")],
        *[(name, False) for name in ("vgg19", "vgg19_bn", "alexnet", "lenet5", "googlenet")],
        ("small-cnn", False),
        ("timm/resnet18", True),
        ("timm/vgg11", False),
    ],
)
def test_which_backbones_have_skip_connections(name, expected):
    assert has_skips(Backbone(name=name)) is expected


def test_the_small_cnn_has_skips_if_asked():
    assert has_skips(Backbone(name="small-cnn", skips=True))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vgg11"])
def test_a_shortcut_is_an_addition_or_a_concatenation(name):
    """What `has_skips` says of a family is so in its graph."""
    model = torchvision.models.get_model(name, weights=None)
    nodes = torch.fx.symbolic_trace(model).graph.nodes
    joins = [n for n in nodes if n.op == "call_function" and n.target in (torch.cat, operator.add)]
    assert bool(joins) is has_skips(Backbone(name=name))
