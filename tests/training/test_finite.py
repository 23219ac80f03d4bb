"""Gradients and states that are not finite."""

import math

import pytest
import torch
from torch import nn

from fastpipe.training.finite import is_finite, spoilt

BAD = [math.nan, math.inf, -math.inf]


def with_gradients():
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in [(3, 4), (5,), (2, 3, 3, 3)]]
    for number, parameter in enumerate(parameters):
        parameter.grad = torch.randn(
            parameter.shape, generator=torch.Generator().manual_seed(number)
        )
    parameters[2].grad = parameters[2].grad.to(memory_format=torch.channels_last)
    return parameters


@pytest.mark.fault(23)
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_element_spoils_a_gradient(bad, place):
    parameters = with_gradients()
    assert spoilt(parameters).item() == 0.0
    parameters[place].grad[(-1,) * parameters[place].ndim] = bad
    assert spoilt(parameters).item() == 1.0


def test_gradients_keep_their_bits():
    parameters = with_gradients()
    parameters[0].grad[0, 0], parameters[0].grad[0, 1] = 1e-45, -0.0  # denormal, negative zero
    before = [parameter.grad.clone() for parameter in parameters]
    spoilt(parameters)
    for parameter, grad in zip(parameters, before, strict=True):
        assert torch.equal(
            parameter.grad.contiguous().view(torch.int32), grad.contiguous().view(torch.int32)
        )


def test_large_gradients_are_finite():
    """Their sum, or the sum of their squares, is not."""
    (parameter,) = [nn.Parameter(torch.zeros(100))]
    parameter.grad = torch.full((100,), 3e38)
    assert spoilt([parameter]).item() == 0.0


def test_parameters_without_a_gradient_do_not_count():
    (first, *_), bare = with_gradients(), nn.Parameter(torch.full((2,), math.nan))
    assert spoilt([bare]).item() == 0.0
    assert spoilt([first, bare]).item() == 0.0


@pytest.mark.fault(23)
@pytest.mark.parametrize("bad", BAD)
def test_a_state_with_one_bad_element_is_not_finite(bad):
    state = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).state_dict()
    assert is_finite(state.values())
    state["1.running_var"][1] = bad
    assert not is_finite(state.values())
    assert is_finite([torch.tensor([2**40])]) and is_finite([])


def test_large_states_are_finite():
    assert is_finite([torch.ones(3), torch.full((100,), 3e38)])
    assert not is_finite([torch.full((100,), 3e38), torch.tensor([math.inf, -math.inf])])
