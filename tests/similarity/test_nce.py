"""NCE against scikit-learn's mutual information, and its laws."""

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from fastpipe.errors import UserError
from fastpipe.similarity.nce import nce


def sample(seed=0, n=200):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(4), rng.integers(0, 4, n - 4)])
    return np.where(rng.random(n) < 0.5, labels, rng.integers(0, 7, n)), labels


@pytest.mark.parametrize("seed", range(5))
def test_is_mutual_information_less_entropy(seed):
    """−H(Y|Z) = I(Y; Z) − H(Y)."""
    source, labels = sample(seed)
    reference = mutual_info_score(source, labels) - entropy(np.bincount(labels))
    assert nce(source, labels) == pytest.approx(reference, rel=1e-12)


def test_bounds():
    _, labels = sample()
    assert nce(labels, labels) == 0.0
    assert nce(10 + np.arange(len(labels)), labels) == 0.0
    assert nce(np.zeros(200, int), labels) == pytest.approx(-entropy(np.bincount(labels)))


def test_order_names_and_copies_do_not_matter():
    source, labels = sample()
    plain = nce(source, labels)
    order = np.random.default_rng(1).permutation(len(labels))
    assert nce(source[order], labels[order]) == pytest.approx(plain, rel=1e-12)
    assert nce(50 - 7 * source, 9 - 3 * labels) == pytest.approx(plain, rel=1e-12)
    assert nce(np.tile(source, 3), np.tile(labels, 3)) == pytest.approx(plain, rel=1e-12)


def test_knows_more_than_shuffled_labels():
    source, labels = sample()
    assert nce(source, labels) > nce(np.random.default_rng(0).permutation(source), labels) + 0.1


@pytest.mark.parametrize(
    ("source", "labels", "error", "message"),
    [
        ([0, 1, 2], [3, 3, 3], UserError, "all 3 images are of one class"),
        ([0, 1, 2], [0, 1], ValueError, "expected 3 integer labels"),
        ([0.5, 1.0], [0, 1], ValueError, "source labels must be integers"),
    ],
)
def test_bad_input(source, labels, error, message):
    with pytest.raises(error, match=message):
        nce(source, labels)
