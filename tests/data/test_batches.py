"""Laws of balanced and shuffled batches."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpipe.data.batches import BalancedBatches, ShuffledBatches
from fastpipe.data.streams import generator
from fastpipe.errors import UserError

counts = st.lists(st.integers(1, 40), min_size=2, max_size=5)


def _labels(counts):
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=generator("test"))]


@settings(deadline=None, max_examples=40)
@given(counts, st.integers(1, 6), st.integers(0, 3), st.permutations(range(1, 30)))
def test_a_batch_depends_on_its_step_only(counts, per_class, seed, order):
    labels, size = _labels(counts), per_class * len(counts)
    in_order = BalancedBatches(labels, size, "d", seed)
    mixed = BalancedBatches(labels, size, "d", seed)
    expected = {step: in_order.indices(step) for step in range(1, 30)}
    for step in order:
        assert torch.equal(mixed.indices(step), expected[step])


@settings(deadline=None, max_examples=40)
@given(counts, st.integers(1, 6))
def test_each_batch_holds_the_same_number_of_each_class(counts, per_class):
    labels = _labels(counts)
    batches = BalancedBatches(labels, per_class * len(counts), "d", 0)
    for step in (1, 2, 3, 1000, 123_456):
        found = torch.bincount(labels[batches.indices(step)], minlength=len(counts))
        assert found.tolist() == [per_class] * len(counts)


@settings(deadline=None, max_examples=40)
@given(counts, st.integers(1, 6))
def test_each_class_is_a_chain_of_whole_passes(counts, per_class):
    labels = _labels(counts)
    batches = BalancedBatches(labels, per_class * len(counts), "d", 0)
    drawn = torch.cat([batches.indices(step) for step in range(1, 4 * max(counts) + 1)])
    for index, count in enumerate(counts):
        chain = drawn[labels[drawn] == index]
        passes = chain[: len(chain) // count * count].view(-1, count).sort(dim=1).values
        members = (labels == index).nonzero().flatten()
        assert len(passes) >= 4
        assert torch.equal(passes, members.expand_as(passes))


def test_passes_blocks_and_draws_are_all_fresh():
    labels = torch.arange(2).repeat(300)
    batches = BalancedBatches(labels, 600, "d", 0)
    passes = torch.stack([batches.indices(step) for step in range(1, 200)])
    assert len(passes.unique(dim=0)) == len(passes)
    few = BalancedBatches(torch.arange(2).repeat(6), 12, "d", 0)
    orders = {tuple(few.indices(step).tolist()) for step in range(1, 2001)}
    assert len(orders) > 1990  # of 720², about 4 repeats are expected


def test_every_image_is_equally_likely_to_be_first():
    batches = BalancedBatches(torch.arange(2).repeat(5), 10, "d", 0)
    firsts = torch.stack([batches.indices(step)[0] for step in range(1, 5001)])
    frequencies = torch.bincount(firsts, minlength=10)[::2]
    assert ((frequencies - 1000).abs() < 120).all()  # four standard deviations


def test_dataset_and_seed_change_the_batches():
    labels = torch.arange(4).repeat(50)
    draws = [
        BalancedBatches(labels, 20, dataset, seed).indices(1)
        for dataset, seed in (("a", 0), ("b", 0), ("a", 1))
    ]
    assert not any(torch.equal(draws[i], draws[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_a_class_smaller_than_its_share_repeats_within_the_batch():
    batch = BalancedBatches(torch.tensor([0, 1, 1]), 8, "d", 0).indices(1)
    assert torch.bincount(batch, minlength=3).tolist() == [4, 2, 2]


@pytest.mark.fault(22)
def test_unfillable_batches_are_refused():
    labels = torch.tensor([0, 0, 2, 2])
    with pytest.raises(UserError, match=r"dataset d: .* class number 1 has none"):
        BalancedBatches(labels, 3, "d", 0)
    with pytest.raises(UserError, match="class number 4 has none"):
        BalancedBatches(torch.arange(4), 5, "d", 0, classes=5)
    with pytest.raises(UserError, match=r"a batch of 10 cannot hold .* of 4 classes"):
        BalancedBatches(torch.arange(4), 10, "d", 0)
    with pytest.raises(UserError, match=r"a batch of 25 .* larger than .* of 24 images"):
        ShuffledBatches(24, 25, "d", 0)
    with pytest.raises(ValueError, match="counted from 1, got 0"):
        ShuffledBatches(24, 5, "d", 0).indices(0)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_an_epoch_uses_no_image_twice(count, size, data):
    size = min(size, count)
    batches = ShuffledBatches(count, size, "d", 0)
    assert batches.steps_per_epoch == count // size
    epoch = data.draw(st.integers(0, 5))
    steps = [epoch * batches.steps_per_epoch + i + 1 for i in range(batches.steps_per_epoch)]
    drawn = {step: batches.indices(step) for step in data.draw(st.permutations(steps))}
    joined = torch.cat([drawn[step] for step in steps])
    assert len(joined.unique()) == len(joined) == batches.steps_per_epoch * size
    order = torch.randperm(count, generator=generator("shuffle", "d", 0, epoch))
    assert torch.equal(joined, order[: len(joined)])


def test_epochs_differ():
    batches = ShuffledBatches(50, 50, "d", 0)
    assert not torch.equal(batches.indices(1), batches.indices(2))
