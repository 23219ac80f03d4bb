"""Penalties against autograd and against literal loops."""

import pytest
import torch
from torch.nn import functional as F

from fastpipe.config.recipe import Recipe
from fastpipe.models.network import body_parameters, head_parameters, set_body_mode
from fastpipe.training.loop import FineTuning
from fastpipe.training.optimisers import build_optimiser, look_ahead, set_rates
from fastpipe.training.regularisers import Pull, pulls
from fastpipe.training.schedules import rate_factor


def moved_network(network):
    """A network away from its source, and the source's body."""
    net, stream = network(head_bias=True), torch.Generator().manual_seed(3)
    source = [p.detach().clone() for p in body_parameters(net)]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += torch.randn(parameter.shape, generator=stream)
    return net, source


def penalty(net, source, recipe, body_strength, head_strength):
    """λ1/2 ‖θ − θ₀‖² + λ2/2 ‖W‖² as it is written."""
    origins = source if recipe.regulariser == "l2-sp" else [torch.zeros(())] * len(source)
    total = torch.zeros(())
    for parameter, origin in zip(body_parameters(net), origins, strict=True):
        if recipe.decayed == "all" or parameter.dim() > 1:
            total = total + body_strength / 2 * (parameter - origin).square().sum()
    for parameter in head_parameters(net):
        if recipe.decayed == "all" or parameter.dim() > 1:
            total = total + head_strength / 2 * parameter.square().sum()
    return total


@pytest.mark.parametrize("regulariser", ["l2", "l2-sp"])
@pytest.mark.parametrize("decayed", ["all", "weights"])
@pytest.mark.parametrize(
    ("strengths", "body", "head"),
    [
        ({"weight_decay": 0.3}, 0.3, 0.3),
        ({"weight_decay": 0.3, "head_weight_decay": 0.07}, 0.3, 0.07),
        ({"weight_decay": 0.3, "head_weight_decay": 0.0}, 0.3, 0.0),
        ({"head_weight_decay": 0.07}, 0.0, 0.07),
        ({"effective_weight_decay": 2.0}, 2 * 0.05, 2 * 0.1),
        ({"effective_weight_decay": 2.0, "head_weight_decay": 0.07}, 2 * 0.05, 0.07),
    ],
)
def test_the_gradient_is_autograds_of_the_penalty(
    network, regulariser, decayed, strengths, body, head
):
    net, source = moved_network(network)
    recipe = Recipe(alpha=0.1, beta=0.05, regulariser=regulariser, decayed=decayed, **strengths)
    parameters = list(net.parameters())
    expected = torch.autograd.grad(
        penalty(net, source, recipe, body, head) + sum(p.sum() for p in parameters), parameters
    )
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)  # of the sum: what is there is kept
    for pull in pulls(net, recipe, source):
        pull.add_gradient()
    for parameter, wanted in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted)


@pytest.mark.parametrize("regulariser", ["l2", "l2-sp"])
def test_moving_is_a_step_along_that_gradient(network, regulariser):
    net, source = moved_network(network)
    recipe = Recipe(regulariser=regulariser, weight_decay=0.3, head_weight_decay=0.1)
    parameters = list(net.parameters())
    gradients = torch.autograd.grad(penalty(net, source, recipe, 0.3, 0.1), parameters)
    expected = [p.detach() - 0.2 * g for p, g in zip(parameters, gradients, strict=True)]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    for pull in pulls(net, recipe, source):
        pull.move(0.2, {})
    for parameter, wanted in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.detach(), wanted)


def test_parameters_without_a_gradient_are_left_alone(network):
    net, source = moved_network(network)
    before = [p.detach().clone() for p in net.parameters()]
    for pull in pulls(net, Recipe(weight_decay=0.3), source):
        pull.move(0.2, {})
        pull.add_gradient()
    assert all(p.grad is None for p in net.parameters())
    assert all(map(torch.equal, net.parameters(), before))


def test_no_penalty_is_no_work(network):
    net, source = moved_network(network)
    assert pulls(net, Recipe(), source) == []
    assert [p.part for p in pulls(net, Recipe(head_weight_decay=0.1), source)] == ["head"]


# --- in the loop


def literal(training, net, recipe, steps):
    """The update rules written out, on a copy of the run's network.

    The network itself is at the points where gradients are taken.
    """
    set_body_mode(net, training=True)
    source = [p.detach().clone() for p in body_parameters(net)]
    groups = [
        (body_parameters(net), source, recipe.beta, recipe.weight_decay),
        (head_parameters(net), None, recipe.alpha, recipe.head_weight_decay),
    ]
    theta = {p: p.detach().clone() for p in net.parameters()}
    velocity = {p: torch.zeros_like(p) for p in net.parameters()}
    for step in range(1, steps + 1):
        images, labels = training.feed.batch(step)
        gradients = torch.autograd.grad(
            F.cross_entropy(net(images), labels), list(net.parameters())
        )
        gradient = dict(zip(net.parameters(), gradients, strict=True))
        factor = rate_factor(step, recipe.steps, recipe.schedule)
        update = _coupled if recipe.decay_form == "coupled" else _decoupled
        with torch.no_grad():
            for parameters, origins, first, strength in groups:
                strength = recipe.weight_decay if strength is None else strength
                pulled = recipe.regulariser == "l2-sp" and origins is not None
                zeros = [torch.zeros_like(p) for p in parameters]
                for p, origin in zip(parameters, origins if pulled else zeros, strict=True):
                    update(
                        p, theta, velocity, gradient[p], first * factor, strength, origin, recipe
                    )


def _coupled(p, theta, velocity, gradient, rate, strength, origin, recipe):
    """torch's form, in the point that torch holds."""
    gradient = gradient + strength * (p - origin)
    velocity[p] = recipe.momentum * velocity[p] + gradient
    ahead = gradient + recipe.momentum * velocity[p]
    p -= rate * (ahead if recipe.optimiser == "nesterov" else velocity[p])


def _decoupled(p, theta, velocity, gradient, rate, strength, origin, recipe):
    """Li et al., equations 1 and 2, in θ; then the point of the next gradient, θ + m v."""
    decay = rate * strength * (theta[p] - origin)
    velocity[p] = recipe.momentum * velocity[p] - rate * gradient
    theta[p] += velocity[p] - decay
    p.copy_(theta[p])
    if recipe.optimiser == "nesterov":
        p += recipe.momentum * velocity[p]


@pytest.mark.parametrize("optimiser", ["sgd", "nesterov"])
@pytest.mark.parametrize("regulariser", ["l2", "l2-sp"])
@pytest.mark.parametrize("form", ["coupled", "decoupled"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_updates_are_the_written_rules(network, task, optimiser, regulariser, form, schedule):
    recipe = Recipe(
        steps=8, batch_size=50, alpha=0.1, beta=0.05, optimiser=optimiser, momentum=0.8,
        weight_decay=0.5, head_weight_decay=0.2, regulariser=regulariser, decay_form=form,
        schedule=schedule,
    )  # fmt: skip
    training, peer = FineTuning(network(), recipe, task, 0), network()
    literal(training, peer, recipe, 8)
    training.run(lambda step, state: None)
    for ours, theirs in zip(training.network.parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("optimiser", "momentum"), [("nesterov", 0.9), ("sgd", 0.9), ("sgd", 0)])
@pytest.mark.parametrize("factors", [[1.0] * 12, [1.0, 1.0, 0.1, 0.1, 0.5, 0.02] * 2])
def test_decoupled_decay_on_a_parabola(optimiser, momentum, factors):
    """½x² from 1: equations 1 and 2 in plain numbers, also where the rate changes."""
    x = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    rule = build_optimiser([x], [], kind=optimiser, alpha=0.1, beta=0, momentum=momentum)
    pull, m = Pull("head", [x], None, 1.0), momentum if optimiser == "nesterov" else 0.0
    theta, v, before, seen = 1.0, 0.0, 1.0, []
    for factor in factors:
        rate = 0.1 * factor
        v, old = momentum * v - rate * (theta + m * v), theta
        theta = old + v - rate * 1.0 * old
        x.grad = x.detach().clone()
        set_rates(rule, factor, before, keep_velocity=True)
        pull.move(rate, look_ahead(rule))
        rule.step()
        assert x.item() == pytest.approx(theta + m * v, rel=1e-12, abs=1e-15)
        seen.append(x.item())
        before = factor
    if optimiser == "nesterov" and factors[2] == 1:  # worked out by hand
        assert seen[:4] == pytest.approx([0.71, 0.4141, 0.149111, -0.06181019], abs=1e-12)


@pytest.mark.parametrize("kind", ["sgd", "nesterov", "adam", "radam"])
def test_coupled_decay_is_torchs_own(network, task, kind):
    recipe = Recipe(
        steps=6, batch_size=50, alpha=0.01, beta=0.01, optimiser=kind, weight_decay=0.1
    )  # fmt: skip
    training, peer = FineTuning(network(), recipe, task, 0), network()
    parameters, optim = list(peer.parameters()), torch.optim
    optimiser = {
        "sgd": lambda: optim.SGD(parameters, 0.01, 0.9, weight_decay=0.1),
        "nesterov": lambda: optim.SGD(parameters, 0.01, 0.9, weight_decay=0.1, nesterov=True),
        "adam": lambda: optim.Adam(parameters, 0.01, weight_decay=0.1),
        "radam": lambda: optim.RAdam(parameters, 0.01, weight_decay=0.1),
    }[kind]()
    for step in range(1, 7):
        images, labels = training.feed.batch(step)
        optimiser.zero_grad()
        F.cross_entropy(peer(images), labels).backward()
        optimiser.step()
    training.run(lambda step, state: None)
    for ours, theirs in zip(training.network.parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", ["coupled", "decoupled"])
def test_l2_sp_without_a_loss_holds_the_source(network, task, form):
    """A strong pull keeps the body near its source, where L2 takes it to the origin."""

    def end(regulariser):
        net = network()
        recipe = Recipe(
            steps=60, batch_size=50, alpha=0, beta=0.01, momentum=0.0, weight_decay=20.0,
            head_weight_decay=0, decayed="weights", regulariser=regulariser, decay_form=form,
        )  # fmt: skip
        run = FineTuning(net, recipe, task, 0)
        run.run(lambda step, state: None)
        return run.history.dynamics[-1]

    near, far = end("l2-sp"), end("l2")
    assert near.body_distance < 0.1 * far.body_distance
    assert near.body_norm > far.body_norm


@pytest.mark.parametrize("form", ["coupled", "decoupled"])
def test_a_part_that_rests_is_not_pulled(network, task, form):
    recipe = Recipe(steps=3, batch_size=50, alpha=0.1, beta=0, weight_decay=0.5, decay_form=form)
    net = network()
    FineTuning(net, recipe, task, 0).run(lambda step, state: None)
    assert all(map(torch.equal, body_parameters(net), body_parameters(network())))
