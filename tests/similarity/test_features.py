"""Class means: against a plain loop, and independent of how images are cut into batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpipe.errors import UserError
from fastpipe.similarity.features import class_means


def sample(n=300, features=7, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, features, generator=generator) * 100 + 1000
    return values, torch.randint(classes, (n,), generator=generator)


def test_means_and_counts_are_those_of_a_plain_loop():
    features, labels = sample()
    means, counts = class_means([features], labels, 4)
    for label in range(4):
        members = features[labels == label].double().numpy()
        assert counts[label] == len(members)
        np.testing.assert_allclose(means[label], members.sum(0) / len(members), rtol=1e-13)
    assert means.dtype == np.float64 and counts.dtype == np.int64


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 300))
def test_batches_do_not_matter(batch_size):
    features, labels = sample()
    whole, _ = class_means([features], labels, 4)
    cut, _ = class_means(features.split(batch_size), labels, 4)
    np.testing.assert_allclose(cut, whole, rtol=1e-12)


def test_sums_are_kept_in_float64():
    """2²⁴ + 1 is no float32: a sum kept in float32 would lose every second one."""
    features = torch.ones(3, 1)
    features[0] = 2.0**24
    means, _ = class_means(features.split(1), torch.zeros(3, dtype=torch.int64), 1)
    assert means[0, 0] == (2**24 + 2) / 3


def test_a_class_without_images_has_no_mean():
    means, counts = class_means([torch.ones(2, 3)], torch.tensor([0, 2]), 3)
    assert counts.tolist() == [1, 0, 1]
    assert np.isnan(means[1]).all() and np.isfinite(means[[0, 2]]).all()


def test_features_that_are_not_finite_are_refused():
    features, labels = sample()
    features[137, 2] = float("inf")
    with pytest.raises(UserError, match="features of image 137 are not finite"):
        class_means(features.split(50), labels, 4)


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        (2, [0, 1, 1], "2 features for 3 labels"),
        (4, [0, 1, 1], "more features than the 3 labels"),
        (3, [0, 1, 4], "labels reach 4, but there are 4 classes"),
        (3, [0, -1, 1], "labels reach"),
    ],
)
def test_labels_must_fit(rows, labels, message):
    with pytest.raises(ValueError, match=message):
        class_means([torch.ones(rows, 2)], torch.tensor(labels), 4)
