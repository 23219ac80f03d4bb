import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastpipe.models.heads import build_head, standard_deviation

INITS = ("normal", "zeros", "kaiming-fan-in", "kaiming-fan-out", "xavier")


def head(init, features=7, classes=3, sigma=1.0, bias=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return build_head(features, classes, init=init, sigma=sigma, bias=bias, generator=generator)


@given(features=st.integers(1, 5000), classes=st.integers(1, 1000))
def test_variances_are_those_of_the_papers(features, classes):
    def variance(init):
        return standard_deviation(init, features, classes, 0.5) ** 2

    assert variance("kaiming-fan-in") == pytest.approx(2 / features)
    assert variance("kaiming-fan-out") == pytest.approx(2 / classes)
    assert variance("xavier") == pytest.approx(2 / (features + classes))
    assert variance("normal") == 0.25
    assert variance("zeros") == 0


@pytest.mark.parametrize("init", INITS)
def test_weights_are_normal_with_that_deviation(init):
    weight = head(init, features=2000, classes=200, sigma=1e-8).weight.double()
    expected = standard_deviation(init, 2000, 200, 1e-8)
    count = weight.numel()
    # Standard errors of mean, deviation and kurtosis of normal draws; five of each.
    assert abs(weight.mean()) <= 5 * expected / math.sqrt(count)
    assert weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * count))
    if expected:
        kurtosis = ((weight / expected) ** 4).mean().item()  # 1.8 were it uniform
        assert kurtosis == pytest.approx(3, abs=5 * math.sqrt(24 / count))


@given(seed=st.integers(0, 2**31), sigma=st.sampled_from((1.0, 1e-4, 1e-8)))
def test_recipes_with_one_seed_share_the_draw(seed, sigma):
    directions = [
        head(init, sigma=sigma, seed=seed).weight / standard_deviation(init, 7, 3, sigma)
        for init in INITS
        if init != "zeros"
    ]
    for direction in directions:
        torch.testing.assert_close(direction, directions[0], rtol=1e-6, atol=0)
    assert not torch.equal(head("xavier", seed=seed).weight, head("xavier", seed=seed + 1).weight)


@pytest.mark.parametrize("init", INITS)
def test_every_init_draws_the_same_amount(init):
    generator = torch.Generator().manual_seed(3)
    build_head(4, 5, init=init, sigma=1.0, bias=True, generator=generator)
    reference = torch.Generator().manual_seed(3)
    torch.randn(5, 4, generator=reference)
    assert torch.equal(generator.get_state(), reference.get_state())


def test_zeros_are_zero_and_a_bias_starts_at_zero():
    assert not head("zeros").weight.any()
    assert head("xavier").bias is None
    assert torch.equal(head("xavier", bias=True).bias, torch.zeros(3))


def test_head_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    head("xavier", bias=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_impossible_heads_are_refused():
    with pytest.raises(ValueError, match=r"needs features and classes, got 0 and 3"):
        head("xavier", features=0)
    with pytest.raises(ValueError, match=r"unknown head initialisation 'he'"):
        head("he")
