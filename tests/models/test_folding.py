import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from fastpipe.config.backbone import Backbone
from fastpipe.models.backbones import build_body
from fastpipe.models.folding import FoldedBody


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def unsettle(body, seed=0):
    """Give every BatchNorm parameters and statistics far from those it starts with."""
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, -1.5, 1.5),
                (module.bias, -0.5, 0.5),
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 2.0),
            ):
                if tensor is not None:
                    nn.init.uniform_(tensor, low, high, generator=generator(seed))
    return body


def body_of(name, channels=3):
    body, _ = build_body(Backbone(name=name), channels, generator())
    return unsettle(body.to(memory_format=torch.channels_last))


def inputs(channels=3, size=64, count=4):
    return torch.randn(count, channels, size, size, generator=generator())


@torch.inference_mode()
def unfolded(body, images):
    training = body.training
    features = body.eval()(images)
    body.train(training)
    return features


def relative_error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


CASES = [
    # name, channels, size, BatchNorm layers, of them folded
    ("small-cnn", 1, 28, 3, 3),
    ("lenet5", 1, 28, 0, 0),
    ("resnet18", 3, 64, 20, 20),
    ("vgg11_bn", 3, 32, 8, 8),
    ("densenet121", 3, 64, 121, 59),  # normalises before it convolves in half of the places
    ("mobilenet_v3_small", 3, 64, 34, 34),
    ("swin_t", 3, 64, 0, 0),
]


@pytest.mark.parametrize(("name", "channels", "size", "norms", "folded"), CASES)
def test_folded_is_the_inference_mode_body(name, channels, size, norms, folded):
    body, images = body_of(name, channels), inputs(channels, size)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in body.modules()) == norms
    fold = FoldedBody(body)
    assert fold.folded == folded
    found, expected = fold(images), unfolded(body, images)
    assert found.dtype == torch.float32
    assert relative_error(found, expected) < 1e-5

    # bf16 loses no more than autocast without folding does.
    with torch.autocast("cpu", torch.bfloat16):
        autocast = unfolded(body, images).float()
    rough = FoldedBody(body, "bf16")(images)
    assert rough.dtype == torch.float32
    assert 1e-4 < relative_error(rough, expected) < 1.5 * relative_error(autocast, expected)


@pytest.mark.parametrize("name", ["small-cnn", "lenet5", "densenet121"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_refresh_follows_training(name, precision):
    size = 28 if name == "lenet5" else 64
    body, images = body_of(name), inputs(size=size)
    fold = FoldedBody(body, precision)
    before = fold(images)
    optimiser = torch.optim.SGD(body.parameters(), lr=0.05)
    body(images).square().mean().backward()
    optimiser.step()
    assert torch.equal(fold(images), before)  # a copy: it does not move by itself
    fold.refresh(body)
    assert not torch.equal(fold(images), before)
    assert torch.equal(fold(images), FoldedBody(body, precision)(images))


def test_the_live_body_is_untouched():
    body, images = body_of("densenet121").train(), inputs()
    body(images).sum().backward()
    state = {name: tensor.clone() for name, tensor in body.state_dict().items()}
    gradients = {name: p.grad.clone() for name, p in body.named_parameters()}
    pointers = {name: tensor.data_ptr() for name, tensor in body.state_dict().items()}
    fold = FoldedBody(body, "bf16")
    fold.refresh(body)
    fold(images)
    assert all(module.training for module in body.modules())
    assert all(p.requires_grad for p in body.parameters())
    assert all(torch.equal(p.grad, gradients[name]) for name, p in body.named_parameters())
    for name, tensor in body.state_dict().items():
        assert torch.equal(tensor, state[name])
        assert tensor.data_ptr() == pointers[name]


class Block(nn.Module):
    """Convolution and BatchNorm, used in a way given by `forward`."""

    def __init__(self, forward, *, affine=True, bias=False, statistics=True):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(3, affine=affine, track_running_stats=statistics)
        self.use = forward

    def forward(self, x):
        return self.use(self, x).mean((2, 3))


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_convolutions_with_bias_and_norms_without_scale_fold(affine, bias):
    block = unsettle(Block(lambda b, x: b.norm(b.convolution(x)), affine=affine, bias=bias))
    fold = FoldedBody(block)
    assert fold.folded == 1
    assert relative_error(fold(inputs()), unfolded(block, inputs())) < 1e-5


@pytest.mark.parametrize(
    ("use", "options"),
    [
        pytest.param(lambda b, x: b.norm(b.convolution(b.convolution(x))), {}, id="called twice"),
        pytest.param(lambda b, x: b.norm(y := b.convolution(x)) + y, {}, id="result used twice"),
        pytest.param(lambda b, x: b.norm(b.norm(b.convolution(x))), {}, id="norm called twice"),
        pytest.param(lambda b, x: b.convolution(b.norm(x)), {}, id="norm first"),
        pytest.param(lambda b, x: b.norm(F.relu(b.convolution(x))), {}, id="ReLU between"),
        pytest.param(
            lambda b, x: b.norm(b.convolution(x)), {"statistics": False}, id="batch statistics"
        ),
        pytest.param(
            lambda b, x: b.norm(b.convolution(x if x.sum() > 0 else -x)), {}, id="untraceable"
        ),
    ],
)
def test_what_cannot_be_folded_is_computed_as_it_is(use, options):
    block = Block(use, **options)
    fold = FoldedBody(block)
    assert fold.folded == 0
    if options.get("statistics", True):
        unsettle(block)
    fold.refresh(block)
    torch.testing.assert_close(fold(inputs()), unfolded(block, inputs()))
    torch.testing.assert_close(fold(-inputs()), unfolded(block, -inputs()))


def test_other_kinds_of_convolution_are_left_alone():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            weight = self.weight - self.weight.mean()
            return F.conv2d(x, weight, self.bias, padding=self.padding)

    Standardised.__module__ = "torch.nn.somewhere"  # so that torch.fx does not look inside
    block = Block(lambda b, x: b.norm(b.convolution(x)))
    block.convolution = Standardised(3, 3, 3, padding=1)
    fold = FoldedBody(unsettle(block))
    torch.testing.assert_close(fold(inputs()), unfolded(block, inputs()))


def test_bf16_weights_are_cast_at_refresh_and_not_at_each_call():
    class Casts(TorchDispatchMode):
        shapes = ()

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function is torch.ops.aten.to.dtype:
                self.shapes += (args[0].shape,)
            return function(*args, **(kwargs or {}))

    fold, images = FoldedBody(body_of("small-cnn"), "bf16"), inputs()
    with Casts() as casts:
        features = fold(images)
    assert casts.shapes == (images.shape, features.shape)  # bf16 on the way in, fp32 out


def test_no_gradients_are_recorded():
    features = FoldedBody(body_of("small-cnn"))(inputs(size=28))
    assert not features.requires_grad
    assert features.is_inference()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["small-cnn", "resnet18"])
def test_folding_on_cuda(name):
    body, images = body_of(name).cuda(), inputs().cuda()
    expected = unfolded(body, images)
    assert relative_error(FoldedBody(body)(images), expected) < 1e-4
    assert relative_error(FoldedBody(body, "bf16")(images), expected) < 0.03
