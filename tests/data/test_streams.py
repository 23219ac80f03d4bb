"""Random streams are functions of their name."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpipe.data.streams import generator

parts = st.one_of(st.text(max_size=5), st.integers(-(2**40), 2**40))
names = st.lists(parts, min_size=1, max_size=4)


def _draw(*name):
    return torch.rand(8, generator=generator(*name), dtype=torch.float64)


@settings(deadline=None, max_examples=50)
@given(names, names)
def test_equal_names_give_equal_streams_and_others_differ(one, other):
    assert torch.equal(_draw(*one), _draw(*one))
    assert torch.equal(_draw(*one), _draw(*other)) == (one == other)


def test_parts_are_not_glued_together():
    assert not torch.equal(_draw("batches", "ab", 1), _draw("batches", "a", "b", 1))
    assert not torch.equal(_draw("flip", 1), _draw("flip", "1"))


def test_a_stream_and_the_global_generator_ignore_each_other():
    before = torch.get_rng_state()
    first = _draw("x")
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    assert torch.equal(first, _draw("x"))


def test_the_seed_is_what_it_has_always_been():
    # Changing it would change every result ever computed.
    drawn = torch.randint(1000, (4,), generator=generator("batches", "digits", 0, 1))
    assert drawn.tolist() == [476, 892, 111, 975]


def test_names_must_be_plain():
    with pytest.raises(ValueError, match="a random stream needs a name"):
        generator()
    with pytest.raises(TypeError, match="True cannot be part of a stream's name"):
        generator("x", True)
