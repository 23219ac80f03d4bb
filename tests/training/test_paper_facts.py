"""Facts that the FAST paper proves, as they come out of the real loop (exhibits A11–A13)."""

import math

import pytest
import torch
from torch.nn import functional as F

from fastpipe.config.recipe import Recipe
from fastpipe.training.loop import FineTuning, copy_state

NEARLY_ZERO = [{"head_init": "zeros"}, {"head_init": "normal", "head_sigma": 1e-8}]


def start(network, task, head, **recipe):
    recipe = Recipe(**({"steps": 1, "batch_size": 100, "alpha": 0.1, "beta": 0.01} | recipe))
    return FineTuning(network(**head), recipe, task, seed=0)


@pytest.mark.parametrize("head", NEARLY_ZERO)
def test_a11_entropy_and_error_at_step_zero(network, task, head):
    """Equations 16 and 19: entropy ln N, mean ‖δ‖² = 1 − 1/N."""
    training = start(network, task, head)
    images, labels = training.feed.batch(1)
    probabilities = training.network(images).softmax(1)
    entropy = -(probabilities * probabilities.log()).sum(1)
    delta = F.one_hot(labels, 10) - probabilities
    assert (entropy - math.log(10)).abs().max() < 1e-5
    assert abs(delta.square().sum(1).mean().item() - (1 - 1 / 10)) < 1e-5

    training.run(lambda step, state: None)
    assert training.history.steps[1].loss == pytest.approx(math.log(10), abs=1e-5)


def test_a12_no_gradient_reaches_the_features_at_zero(network, task):
    """Equation 13: ∂ℓ/∂a = −δ W = 0, so the first update moves the head alone."""
    training = start(network, task, {"head_init": "zeros"})
    images, labels = training.feed.batch(1)
    features = training.network.features(images)
    features.retain_grad()
    F.cross_entropy(training.network.head(features), labels).backward()
    assert torch.equal(features.grad, torch.zeros_like(features))

    training = start(network, task, {"head_init": "zeros"})
    before = copy_state(training.network)
    training.run(lambda step, state: None)
    after = copy_state(training.network)
    body = [n for n, _ in training.network.named_parameters() if n.startswith("body.")]
    assert all(torch.equal(before[name], after[name]) for name in body)
    assert after["head.weight"].norm() > 0


def test_a12_early_body_movement_is_proportional_to_alpha_beta(network, task):
    """Equation 22: the second update moves the body by β times a gradient that W(1) ∝ α scales."""

    def moved(alpha, beta):
        options = {"alpha": alpha, "beta": beta, "steps": 2, "momentum": 0.0}
        training = start(network, task, {"head_init": "zeros"}, **options)
        before = [p.detach().double().clone() for p in training.network.body.parameters()]
        training.run(lambda step, state: None)
        after = training.network.body.parameters()
        pairs = zip(after, before, strict=True)
        return math.sqrt(sum((a.detach().double() - b).square().sum().item() for a, b in pairs))

    reference = moved(0.01, 1.0)
    for alpha, beta in ((0.02, 1.0), (0.01, 4.0), (0.04, 0.5)):
        slope = math.log(moved(alpha, beta) / reference) / math.log(alpha * beta / 0.01)
        assert slope == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("momentum_form", ["torch", "ema"])
def test_a13_the_first_head_is_the_batchs_centred_class_means(network, task, momentum_form):
    """Equation 20, with features in training mode: W(1) ∝ class means − global mean."""
    options = {"momentum_form": momentum_form}
    training = start(network, task, {"head_init": "zeros"}, **options)
    images, labels = training.feed.batch(1)
    with torch.no_grad():
        features = network(head_init="zeros").train().features(images).double()
    means = torch.stack([features[labels == label].mean(0) for label in range(10)])
    centred = means - features.mean(0)

    states = {}
    training.run(states.__setitem__)
    learned = states[1]["head.weight"].double()
    assert F.cosine_similarity(learned.flatten(), centred.flatten(), dim=0) >= 0.999
    rate = 0.1 * (0.1 if momentum_form == "ema" else 1.0)
    assert torch.allclose(learned, rate / 10 * centred, rtol=1e-3, atol=1e-7)
