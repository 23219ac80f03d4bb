"""TransRate against its literal determinants, and its laws."""

import numpy as np
import pytest

from fastpipe.errors import UserError
from fastpipe.similarity.transrate import transrate

SHAPES = [(60, 8), (30, 30), (20, 50), (12, 200)]


def literal(features, labels, epsilon):
    """½ log det by eigenvalues of the D × D matrices."""

    def rate(Z):
        matrix = np.eye(Z.shape[1]) + sum(np.outer(z, z) for z in Z) / (len(Z) * epsilon)
        return np.log(np.linalg.eigvalsh(matrix)).sum() / 2

    Z = features - features.mean(0)
    shares = {label: (labels == label).mean() for label in set(labels.tolist())}
    return rate(Z) - sum(share * rate(Z[labels == label]) for label, share in shares.items())


@pytest.mark.parametrize(("n", "D"), SHAPES)
@pytest.mark.parametrize("epsilon", [1e-4, 0.1])
def test_is_the_literal_formula(clusters, n, D, epsilon):
    features, labels = clusters(n, D)
    reference = literal(features, labels, epsilon)
    assert transrate(features, labels, epsilon) == pytest.approx(reference, rel=1e-9)


@pytest.mark.parametrize(("n", "D"), SHAPES)
def test_neither_rotation_nor_shift_nor_order_nor_names_nor_copies_matter(clusters, rotation, n, D):
    features, labels = clusters(n, D)
    plain = transrate(features, labels)
    assert transrate(features @ rotation(D) + 3, labels) == pytest.approx(plain, rel=1e-9)
    order = np.random.default_rng(1).permutation(n)
    assert transrate(features[order], 9 - labels[order]) == pytest.approx(plain, rel=1e-9)
    doubled = transrate(np.tile(features, (2, 1)), np.tile(labels, 2))
    assert doubled == pytest.approx(plain, rel=1e-9)


def test_scaling_features_is_scaling_the_distortion(clusters):
    features, labels = clusters()
    scaled = transrate(10 * features, labels, 1e-2)
    assert scaled == pytest.approx(transrate(features, labels, 1e-4), rel=1e-9)


def test_rises_with_separation(clusters):
    found = [transrate(*clusters(400, 8, apart=apart)) for apart in (0, 0.3, 1, 3)]
    assert found == sorted(found)


def test_equal_features_say_nothing():
    assert transrate(np.full((6, 3), 0.1), [0, 1, 0, 1, 0, 1]) == pytest.approx(0, abs=1e-12)


def test_bad_input():
    with pytest.raises(UserError, match="all 4 images are of one class"):
        transrate(np.ones((4, 2)), [1] * 4)
    with pytest.raises(ValueError, match="epsilon must be above 0"):
        transrate(np.ones((4, 2)), [0, 1, 0, 1], 0.0)
