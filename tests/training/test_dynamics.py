"""What is written down about single updates, against definitions written out."""

import math

import pytest
import torch
from torch.nn import functional as F

from fastpipe.config.recipe import Recipe
from fastpipe.models.network import body_parameters, set_body_mode
from fastpipe.training.dynamics import Look, prototype_cosine
from fastpipe.training.loop import FineTuning
from fastpipe.training.protocol import validation_steps
from fastpipe.training.resumption import Watcher


def run(network, task, watcher=None, **recipe):
    recipe = Recipe(**({"steps": 10, "batch_size": 50, "alpha": 0.1, "beta": 0.05} | recipe))
    training = FineTuning(network, recipe, task, 0)
    training.run(lambda step, state: None, watcher)
    return training


class Parameters(Watcher):
    """Head and body after each step, and before the first."""

    def __init__(self, network):
        self.network, self.after = network, {}
        self.after_step(0)

    def after_step(self, step):
        head = self.network.head.weight.detach().clone()
        self.after[step] = head, [p.detach().clone() for p in body_parameters(self.network)]


def test_quantities_of_a_batch_by_hand(network, task):
    """Two images, three classes, two features; every number worked out below."""
    net = network()
    net.head = torch.nn.Linear(2, 3, bias=False)
    with torch.no_grad():
        net.head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]))
    logits = torch.tensor([[math.log(2), 0.0, 0.0], [0.0, 0.0, 0.0]])
    source = [parameter.detach() - 0.5 for parameter in body_parameters(net)]
    look = Look(net, torch.zeros(2, 2), logits, torch.tensor([0, 1]), source, body_moves=False)
    squared, entropy, soft, gradient, head, body, norm, distance = look.after(net).tolist()
    # ŷ = (1/2, 1/4, 1/4) and (1/3, 1/3, 1/3); δ = (1/2, −1/4, −1/4) and (−1/3, 2/3, −1/3)
    assert squared == pytest.approx((3 / 8 + 2 / 3) / 2)
    assert entropy == pytest.approx((1.5 * math.log(2) + math.log(3)) / 2)
    assert soft == pytest.approx((1 / 2 + 1 / 3) / 2)
    # δW = (1/2, −1/2) and (−1/3, 4/3)
    assert gradient == pytest.approx((math.sqrt(1 / 2) + math.sqrt(17) / 3) / 2)
    assert (head, body) == (0, 0)
    flat = torch.cat([parameter.detach().flatten() for parameter in body_parameters(net)])
    assert norm == pytest.approx(flat.norm().item())
    assert distance == pytest.approx(0.5 * math.sqrt(len(flat)))


def test_the_feature_gradient_is_what_autograd_finds(network, task):
    net = network(head_init="normal", head_sigma=0.5)
    features = torch.randn(8, net.head.in_features, requires_grad=True)
    labels = torch.arange(8)
    logits = net.head(features)
    F.cross_entropy(logits, labels, reduction="sum").backward()
    look = Look(net, features, logits, labels, body_parameters(net), body_moves=False)
    assert look.after(net)[3].item() == pytest.approx(features.grad.norm(dim=1).mean().item())


def test_updates_are_those_of_the_parameters(network, task):
    start = network()
    watcher = Parameters(start)
    training = run(start, task, watcher)
    assert [row.step for row in training.history.dynamics] == validation_steps(10)
    for row in training.history.dynamics:
        (head, body), (head_before, body_before) = (
            watcher.after[row.step],
            watcher.after[row.step - 1],
        )
        moved = math.hypot(*((a - b).norm().item() for a, b in zip(body, body_before, strict=True)))
        assert row.head_update == pytest.approx((head - head_before).norm().item())
        assert row.body_update == pytest.approx(moved, rel=1e-5)
        assert row.body_update > 0
        far = math.hypot(*((a - b).norm() for a, b in zip(body, watcher.after[0][1], strict=True)))
        assert row.body_distance == pytest.approx(far, rel=1e-5)
        assert row.body_norm == pytest.approx(math.hypot(*(a.norm() for a in body)), rel=1e-5)


def test_a_body_that_rests_has_no_update(network, task):
    training = run(network(), task, beta=0)
    assert {row.body_update for row in training.history.dynamics} == {0.0}
    assert {row.body_distance for row in training.history.dynamics} == {0.0}


@pytest.mark.parametrize("sigma", [0.0, 1e-8])
def test_a_head_near_zero_starts_at_the_highest_entropy(network, task, sigma):
    """FAST, equations 16 and 19: H(ŷ) = ln N and mean ‖δ‖² = 1 − 1/N on a balanced batch."""
    start = network(head_init="normal", head_sigma=sigma)
    first = run(start, task, steps=1).history.dynamics[0]
    assert first.entropy == pytest.approx(math.log(10), abs=1e-6)
    assert first.squared_error == pytest.approx(0.9, abs=1e-6)
    assert first.soft_accuracy == pytest.approx(0.1, abs=1e-6)
    assert first.feature_gradient < 1e-6
    assert first.body_update < 1e-6 < first.head_update


@pytest.mark.parametrize("form", ["torch", "ema"])
def test_the_first_step_from_zero_makes_prototypes(network, task, form):
    """FAST, equation 20: W(1) is proportional to the batch's class means minus its mean."""
    start = network(head_init="zeros")
    training = run(start, task, steps=1, momentum_form=form)
    assert training.history.prototype_cosine == pytest.approx(1, abs=1e-6)
    peer = network(head_init="zeros")
    images, labels = training.feed.batch(1)
    set_body_mode(peer, training=True)
    features = peer.features(images).detach()
    means = torch.stack([features[labels == n].mean(0) for n in range(10)])
    rate = 0.1 * (0.1 if form == "ema" else 1.0)
    expected = rate / 10 * (means - features.mean(0))
    torch.testing.assert_close(start.head.weight.detach(), expected, rtol=1e-4, atol=1e-7)


def test_a_large_head_hides_the_prototypes(network, task):
    training = run(network(head_init="normal", head_sigma=1.0), task, steps=1)
    assert training.history.prototype_cosine < 0.9


def test_a_head_that_rests_has_no_prototypes(network, task):
    training = run(network(), task, steps=1, alpha=0)
    assert training.history.prototype_cosine is None


def test_the_cosine_does_not_depend_on_scale_and_turns_with_sign():
    stream = torch.Generator().manual_seed(0)
    features, labels = torch.randn(12, 5, generator=stream), torch.arange(12) % 3
    means = torch.stack([features[labels == n].mean(0) for n in range(3)]) - features.mean(0)
    assert prototype_cosine(7 * means, features, labels).item() == pytest.approx(1)
    assert prototype_cosine(-means, features, labels).item() == pytest.approx(-1)


def test_early_movement_of_the_body_scales_as_alpha_times_beta(network, task):
    """FAST, equation 22, from W = 0; and not from an ordinary head, where it scales as beta.

    The rates are small, yet large enough for an update not to drown in fp32's rounding.
    """

    def third_update(factor, **head):
        training = run(network(**head), task, steps=3, alpha=1e-2 * factor, beta=1e-2 * factor)
        return training.history.dynamics[1].body_update

    zero = third_update(2, head_init="zeros") / third_update(1, head_init="zeros")
    ordinary = third_update(2) / third_update(1)
    assert zero == pytest.approx(4, rel=0.1)
    assert ordinary == pytest.approx(2, rel=0.1)
