import math

import pytest
import torch
from torch import nn

from fastpipe.training.optimisers import build_optimiser, ema_momentum, set_rates


def walk(gradients, *, theta=0.0, **options):
    """θ after each of these gradients, as a body parameter at rate β."""
    body, head = nn.Parameter(torch.tensor([theta])), nn.Parameter(torch.tensor([0.0]))
    options = {"kind": "sgd", "alpha": 0.0, "beta": 0.1, "momentum": 0.9} | options
    optimiser = build_optimiser([head], [body], **options)
    path = []
    for gradient in gradients:
        body.grad = torch.tensor([gradient])
        optimiser.step()
        path.append(body.item())
    return path


def test_torch_momentum_sums_gradients():
    # V: 1, 1.9, 0.71 (0.9·1.9 − 1)
    assert walk([1.0, 1.0, -1.0]) == pytest.approx([-0.1, -0.29, -0.361])


def test_ema_momentum_is_damped_from_the_first_step():
    # V: 0.1, 0.19, 0.071 (0.9·0.19 − 0.1)
    path = walk([1.0, 1.0, -1.0], momentum_form="ema")
    assert path == pytest.approx([-0.01, -0.029, -0.0361])


def test_torchs_own_dampening_is_not_the_papers_form():
    parameter = nn.Parameter(torch.tensor([0.0]))
    optimiser = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, dampening=0.9)
    parameter.grad = torch.tensor([1.0])
    optimiser.step()
    assert parameter.item() == pytest.approx(-0.1)  # undamped, ten times the paper's step


def test_ema_without_momentum_is_plain_descent():
    assert walk([1.0, 2.0], momentum=0.0, momentum_form="ema") == pytest.approx([-0.1, -0.3])


def test_ema_is_the_recursion():
    parameter = nn.Parameter(torch.tensor([2.0]))
    optimiser = ema_momentum([parameter], lr=0.5, momentum=0.8)
    theta, velocity = 2.0, 0.0
    for gradient in (1.0, -3.0, 0.5):
        velocity = 0.8 * velocity + 0.2 * gradient
        theta -= 0.5 * velocity
        parameter.grad = torch.tensor([gradient])
        optimiser.step()
        assert parameter.item() == pytest.approx(theta)


def test_nesterov_looks_ahead():
    # V: 1, 1.9; update g + 0.9 V: 1.9, 2.71
    assert walk([1.0, 1.0], kind="nesterov") == pytest.approx([-0.19, -0.461])
    assert walk([1.0, 1.0], kind="nesterov", momentum=0.0) == pytest.approx([-0.1, -0.2])


def test_adams_first_steps_have_the_length_of_the_rate():
    assert walk([3.0, 3.0], kind="adam", beta=0.01) == pytest.approx([-0.01, -0.02], abs=1e-8)


def test_adam_by_hand_for_changing_gradients():
    m = v = theta = 0.0
    expected = []
    for step, gradient in enumerate([1.0, -2.0, 0.5], start=1):
        m, v = 0.8 * m + 0.2 * gradient, 0.999 * v + 0.001 * gradient**2
        theta -= 0.01 * (m / (1 - 0.8**step)) / (math.sqrt(v / (1 - 0.999**step)) + 1e-8)
        expected.append(theta)
    path = walk([1.0, -2.0, 0.5], kind="adam", beta=0.01, momentum=0.8)
    assert path == pytest.approx(expected, rel=1e-5)


def test_radam_begins_as_momentum_without_adaptation():
    # Its variance is intractable in the first five steps: the update is the corrected mean alone.
    assert walk([2.0, 2.0], kind="radam", beta=0.01) == pytest.approx([-0.02, -0.04])


@pytest.mark.parametrize("kind", ["sgd", "nesterov", "adam", "radam"])
def test_head_and_body_have_their_own_rates(kind):
    head, body = (nn.Parameter(torch.tensor([0.0])) for _ in range(2))
    optimiser = build_optimiser([head], [body], kind=kind, alpha=0.1, beta=0.01)
    head.grad, body.grad = torch.tensor([1.0]), torch.tensor([1.0])
    optimiser.step()
    assert head.item() == pytest.approx(10 * body.item())
    assert body.item() < 0


@pytest.mark.parametrize("kind", ["sgd", "nesterov", "adam", "radam"])
@pytest.mark.parametrize("frozen", ["alpha", "beta"])
def test_a_part_with_rate_zero_does_not_move(kind, frozen):
    rates = {"alpha": 0.1, "beta": 0.1, frozen: 0.0}
    parts = {name: nn.Parameter(torch.tensor([1.0])) for name in rates}
    optimiser = build_optimiser([parts["alpha"]], [parts["beta"]], kind=kind, **rates)
    for _ in range(3):
        for parameter in parts.values():
            parameter.grad = torch.tensor([1.0])
        optimiser.step()
    moved = {name for name, parameter in parts.items() if parameter.item() != 1.0}
    assert moved == {"alpha", "beta"} - {frozen}


@pytest.mark.parametrize("form", ["torch", "ema"])
def test_without_a_gradient_nothing_moves_and_momentum_starts_at_zero_later(form):
    options = {"kind": "sgd", "alpha": 0.1, "beta": 0.1}
    head, body = (nn.Parameter(torch.tensor([1.0])) for _ in range(2))
    optimiser = build_optimiser([head], [body], momentum_form=form, **options)
    for _ in range(4):
        head.grad = torch.tensor([1.0])
        optimiser.step()
    assert body.item() == 1.0
    body.grad = torch.tensor([1.0])
    optimiser.step()
    first = walk([1.0], theta=1.0, beta=0.1, momentum_form=form)
    assert [body.item()] == pytest.approx(first)


def test_both_rates_change_by_one_factor():
    head, body = (nn.Parameter(torch.tensor([0.0])) for _ in range(2))
    optimiser = build_optimiser([head], [body], kind="adam", alpha=0.1, beta=0.01)
    for factor in (1.0, 0.5, 0.25):
        set_rates(optimiser, factor, 1.0)
        assert [group["lr"] for group in optimiser.param_groups] == [0.1 * factor, 0.01 * factor]


@pytest.mark.parametrize("kind", ["sgd", "nesterov"])
def test_the_velocity_outlives_a_milestone_if_it_is_kept(kind):
    """v ← M v − η g, literally, beside torch's sum of gradients that a new rate rescales."""
    body = nn.Parameter(torch.tensor([0.0], dtype=torch.float64))
    optimiser = build_optimiser([], [body], kind=kind, alpha=0, beta=0.1, momentum=0.9)
    theta = velocity = 0.0
    factors, gradients = [1.0, 1.0, 0.1, 0.1, 0.05], [1.0, -2.0, 0.5, 1.0, 3.0]
    for before, now, gradient in zip([1.0, *factors[:-1]], factors, gradients, strict=True):
        set_rates(optimiser, now, before, keep_velocity=True)
        body.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
        velocity = 0.9 * velocity - 0.1 * now * gradient
        theta += 0.9 * velocity - 0.1 * now * gradient if kind == "nesterov" else velocity
        assert body.item() == pytest.approx(theta, rel=1e-12)


def test_nothing_to_train_is_no_optimiser():
    parameter = nn.Parameter(torch.tensor([1.0]))
    assert build_optimiser([parameter], [parameter], kind="sgd", alpha=0, beta=0) is None


def test_ema_of_another_rule_is_refused():
    with pytest.raises(ValueError, match="'ema' is defined for sgd, not for adam"):
        walk([1.0], kind="adam", momentum_form="ema")


def test_unknown_rules_are_refused():
    with pytest.raises(ValueError, match="unknown optimiser 'lion'"):
        walk([1.0], kind="lion")
