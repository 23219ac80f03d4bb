import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from fastpipe.config.backbone import Backbone
from fastpipe.errors import UserError
from fastpipe.models.heads import build_head
from fastpipe.models.network import (
    Normalise,
    body_parameters,
    build_network,
    head_parameters,
    set_body_mode,
    with_head,
)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def network(precision="fp32", *, body_seed=0, head_seed=0, classes=4, channels=1, **options):
    return build_network(
        Backbone(widths=(8, 16)),
        classes,
        channels=channels,
        mean=[0.3] * channels,
        std=[0.25] * channels,
        body_generator=seeded(body_seed),
        head_generator=seeded(head_seed),
        precision=precision,
        **options,
    )


def images(count=6, channels=1, size=12, seed=0):
    pixels = torch.randint(
        0, 256, (count, size, size, channels), dtype=torch.uint8, generator=seeded(seed)
    )
    return pixels.permute(0, 3, 1, 2)


@given(
    mean=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    std=st.lists(st.floats(0.05, 1), min_size=3, max_size=3),
)
def test_normalise_is_the_formula_for_every_pixel_value(mean, std):
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    by_hand = (pixels.double() / 255 - torch.tensor(mean)[:, None, None].double()) / (
        torch.tensor(std)[:, None, None].double()
    )
    found = Normalise(mean, std)(pixels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), by_hand, rtol=1e-5, atol=1e-5)


def test_normalise_keeps_channels_last():
    found = Normalise([0.5] * 3, [0.2] * 3)(images(channels=3))
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("mean", "std"), [([0.5], [0.0]), ([0.5, 0.5], [1.0])])
def test_normalise_refuses_what_it_cannot_divide_by(mean, std):
    with pytest.raises(ValueError, match="one positive std per channel"):
        Normalise(mean, std)


@pytest.mark.parametrize("bias", [False, True])
def test_logits_are_the_head_on_the_features(bias):
    net = network(head_bias=bias).eval()
    features = net.features(images())
    assert features.shape == (6, 16)
    assert torch.equal(net(images()), F.linear(features, net.head.weight, net.head.bias))


def test_bf16_is_for_the_body_alone():
    rough, exact = network("bf16").eval(), network("fp32").eval()
    seen = []
    rough.body[-1].register_forward_hook(lambda *call: seen.append(call[-1].dtype))
    rough.head.register_forward_hook(lambda *call: seen.append(call[-1].dtype))
    rough(images())
    assert seen == [torch.bfloat16, torch.float32]
    found, expected = rough.features(images()), exact.features(images())
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    assert (found - expected).norm() / expected.norm() < 0.01


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_reach_all_parameters_in_fp32(precision):
    net = network(precision)
    F.cross_entropy(net(images()), torch.arange(6) % 4).backward()
    for parameter in net.parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32
        assert parameter.grad.any()


def test_convolutions_are_channels_last_from_end_to_end():
    net = network(channels=3)
    assert net.body[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert net.body[:3](net.normalise(images(channels=3))).is_contiguous(
        memory_format=torch.channels_last
    )


def test_body_and_head_come_from_their_own_generators():
    first = network().state_dict()
    for changed, same in (("body", "head"), ("head", "body")):
        other = network(**{f"{changed}_seed": 1}).state_dict()
        equal = {name: torch.equal(first[name], other[name]) for name in first}
        assert all(equal[name] for name in equal if name.startswith(same))
        assert not equal[f"{changed}.weight" if changed == "head" else "body.0.weight"]


def test_building_ignores_and_keeps_the_global_random_state():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = network().state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = network().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_with_head_replaces_the_head_and_shares_the_rest():
    net = network("bf16")
    head = build_head(16, 9, init="zeros", sigma=0.0, bias=False, generator=seeded(0))
    other = with_head(net, head)
    assert other.body is net.body
    assert other.normalise is net.normalise
    assert other.precision == "bf16"
    assert other(images()).shape == (6, 9)
    assert net(images()).shape == (6, 4)


def test_inference_mode_keeps_running_statistics():
    net = network()
    set_body_mode(net, training=False)
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    net(images())
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
    set_body_mode(net, training=True)
    net(images())
    assert not torch.equal(net.body[1].running_mean, before["body.1.running_mean"])


def test_parameters_are_the_body_s_and_the_head_s():
    net = network(head_bias=True)
    body, head = body_parameters(net), head_parameters(net)
    assert [p.shape for p in head] == [(4, 16), (4,)]
    assert {id(p) for p in body + head} == {id(p) for p in net.parameters()}
    assert len(body) + len(head) == len(list(net.parameters()))


def test_a_size_the_body_cannot_take_is_a_user_error():
    with pytest.raises(UserError, match=r"lenet5 takes images of 28 or 32 pixels, not 30×30"):
        build_network(
            Backbone(name="lenet5"),
            4,
            channels=1,
            size=30,
            mean=[0.3],
            std=[0.25],
            body_generator=seeded(0),
            head_generator=seeded(0),
        )
