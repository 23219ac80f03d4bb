"""Laws of stratified choices."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpipe.config.shares import apportion
from fastpipe.data.splits import shuffled_classes

fractions = st.integers(1, 99).map(lambda hundredths: hundredths / 100)


@given(st.lists(st.integers(2, 500), min_size=1, max_size=12), fractions)
def test_apportioned_counts_are_within_one_of_the_exact_share(counts, fraction):
    held = apportion(counts, fraction)
    for count, number in zip(counts, held, strict=True):
        assert abs(number - Fraction(str(fraction)) * count) < 1
        assert 1 <= number < count


@given(st.lists(st.integers(200, 900), min_size=1, max_size=12), fractions)
def test_the_total_is_the_share_rounded_up(counts, fraction):
    if all(count * fraction >= 1 and count * (1 - fraction) > 1 for count in counts):
        assert sum(apportion(counts, fraction)) == math.ceil(Fraction(str(fraction)) * sum(counts))


@given(st.integers(2, 400), st.integers(2, 10), fractions)
def test_equal_classes_differ_by_at_most_one(count, classes, fraction):
    held = apportion([count] * classes, fraction)
    assert max(held) - min(held) <= 1


def test_known_apportionments():
    digits = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert sum(apportion(digits, 0.2)) == 360
    assert apportion([100, 100], 0.07) == [7, 7]  # 0.07 * 100 is 7.000000000000001 in floats
    assert apportion([3, 3, 3], 0.05) == [1, 1, 1]
    assert apportion([2, 2], 0.99) == [1, 1]
    assert apportion([10, 30], 0.25) == [3, 7]  # 2.5 and 7.5: the first of equals rounds up


@pytest.mark.parametrize(("counts", "fraction"), [([1, 5], 0.5), ([5, 5], 0.0), ([5, 5], 1.0)])
def test_impossible_apportionments(counts, fraction):
    with pytest.raises(ValueError, match=r"cannot hold out .* of classes with \["):
        apportion(counts, fraction)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 4), max_size=60), st.integers(0, 3))
def test_classes_are_partitioned(labels, seed):
    labels = np.array(labels, dtype=np.int64)
    groups = shuffled_classes(labels, ["a", "b", "c"], seed, "train")
    for index, group in enumerate(groups):
        assert sorted(group) == np.flatnonzero(labels == index).tolist()


def test_the_order_within_a_class_ignores_the_other_classes():
    labels = np.arange(90) % 3
    alone = shuffled_classes(np.where(labels == 1, 0, -1), ["b"], 7, "train")[0]
    among = shuffled_classes(labels, ["a", "b", "c"], 7, "train")[1]
    assert alone.tolist() == among.tolist()
    assert among.tolist() != sorted(among)


def test_seed_and_purpose_change_the_order():
    labels = np.zeros(50, dtype=np.int64)
    orders = [
        shuffled_classes(labels, ["a"], seed, purpose)[0].tolist()
        for seed, purpose in ((0, "train"), (1, "train"), (0, "test"))
    ]
    assert len({tuple(order) for order in orders}) == 3
