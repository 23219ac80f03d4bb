"""LEEP against its literal definition, and its laws."""

import numpy as np
import pytest

from fastpipe.errors import UserError
from fastpipe.similarity.leep import leep
from fastpipe.similarity.nce import nce


def literal(theta, labels):
    """The paper's steps, one sum at a time."""
    n, kinds = theta.shape
    joint = {}
    for y in set(labels):
        for z in range(kinds):
            joint[y, z] = sum(theta[i, z] for i in range(n) if labels[i] == y) / n
    total = 0.0
    for i in range(n):
        expected = 0.0
        for z in range(kinds):
            mass = sum(joint[y, z] for y in set(labels))
            if mass > 0:
                expected += joint[labels[i], z] / mass * theta[i, z]
        total += np.log(expected)
    return total / n


@pytest.mark.parametrize("sharp", [0.0, 1.0, 5.0])
def test_is_the_literal_formula(probabilities, sharp):
    theta, labels = probabilities(sharp=sharp)
    assert leep(theta, labels) == pytest.approx(literal(theta, labels.tolist()), rel=1e-12)


def test_source_classes_without_mass_add_nothing(probabilities):
    theta, labels = probabilities()
    wide = np.hstack([np.zeros((len(theta), 3)), theta])
    assert leep(wide, labels) == pytest.approx(leep(theta, labels), rel=1e-12)


def test_vanishing_mass_stays_finite():
    theta = np.array([[1.0, 0.0], [1.0, 5e-324], [1.0, 0.0]])
    assert leep(theta, [0, 1, 1]) == pytest.approx((np.log(1 / 3) + 2 * np.log(2 / 3)) / 3)


def test_one_sure_source_class_for_each_image_is_nce(probabilities):
    theta, labels = probabilities(n=200)
    chosen = theta.argmax(1)
    assert leep(np.eye(5)[chosen], labels) == pytest.approx(nce(chosen, labels), rel=1e-12)


def test_a_head_that_says_nothing_leaves_the_entropy_of_the_labels():
    labels = [0] * 6 + [1] * 3 + [2]
    shares = np.array([0.6, 0.3, 0.1])
    found = leep(np.full((10, 4), 0.25), labels)
    assert found == pytest.approx((shares * np.log(shares)).sum(), rel=1e-12)


def test_order_names_and_copies_do_not_matter(probabilities):
    theta, labels = probabilities()
    plain = leep(theta, labels)
    order = np.random.default_rng(1).permutation(len(labels))
    assert leep(theta[order], labels[order]) == pytest.approx(plain, rel=1e-12)
    assert leep(theta[:, ::-1], 9 - 3 * labels) == pytest.approx(plain, rel=1e-12)
    assert leep(np.tile(theta, (3, 1)), np.tile(labels, 3)) == pytest.approx(plain, rel=1e-12)


def test_rises_with_what_the_head_knows(probabilities):
    found = [leep(*probabilities(n=2000, sharp=sharp)) for sharp in (0, 1, 3, 9)]
    assert found == sorted(found) and found[-1] < 0


@pytest.mark.parametrize(
    ("theta", "labels", "error", "message"),
    [
        ([[0.5, 0.5], [0.5, 0.6]], [0, 1], UserError, r"image 1 are no distribution \(sum 1\.1"),
        ([[0.5, 0.5], [1.5, -0.5]], [0, 1], UserError, "image 1 are no distribution"),
        ([[np.nan, 0.5], [0.5, 0.5]], [0, 1], UserError, "image 0 are no distribution"),
        ([[0.5, 0.5]] * 3, [2, 2, 2], UserError, "all 3 images are of one class"),
        ([[0.5, 0.5]] * 3, [0, 1], ValueError, "expected 3 integer labels"),
        ([0.5, 0.5], [0, 1], ValueError, "must be images × source classes"),
    ],
)
def test_bad_input(theta, labels, error, message):
    with pytest.raises(error, match=message):
        leep(theta, labels)
