"""Probes against scikit-learn's classifiers."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifierCV
from sklearn.neighbors import KNeighborsClassifier

from fastpipe.errors import UserError
from fastpipe.similarity.probes import RIDGE_STRENGTHS, knn_accuracy, ridge_accuracy

PROBES = [knn_accuracy, ridge_accuracy]


def halves(clusters, n, D, **more):
    features, labels = clusters(2 * n, D, **more)
    return features[:n], labels[:n], features[n:], labels[n:]


@pytest.mark.parametrize(("n", "D"), [(100, 8), (60, 60), (50, 200)])
@pytest.mark.parametrize("apart", [0.2, 0.6])
def test_ridge_is_sklearns_with_its_own_leave_one_out(clusters, n, D, apart):
    x, y, val, truth = halves(clusters, n, D, apart=apart)
    scale = np.square(x - x.mean(0)).sum() / D
    model = RidgeClassifierCV(alphas=RIDGE_STRENGTHS * scale).fit(x, y)
    assert ridge_accuracy(x, y, val, truth) == pytest.approx(model.score(val, truth), rel=1e-12)


@pytest.mark.parametrize("k", [1, 4, 5])
def test_nearest_neighbours_are_sklearns_but_for_ties(clusters, k):
    x, y, val, truth = halves(clusters, 150, 5, apart=0.8)
    model = KNeighborsClassifier(k).fit(x, y)
    votes = model.predict_proba(val)
    clear = (votes == votes.max(1, keepdims=True)).sum(1) == 1
    assert clear.sum() > 50
    found = knn_accuracy(x, y, val[clear], truth[clear], k)
    assert found == pytest.approx(model.score(val[clear], truth[clear]), rel=1e-12)


def test_of_tied_classes_the_nearest_wins():
    x, y = np.array([[0.0], [1.0], [1.1], [2.0]]), np.array([7, 5, 5, 7])
    assert knn_accuracy(x, y, [[0.4]], [7], 4) == 1.0
    assert knn_accuracy(x, y, [[0.6]], [7], 4) == 0.0


def test_parts_do_not_matter(clusters, monkeypatch):
    sample = halves(clusters, 100, 5)
    whole = knn_accuracy(*sample)
    monkeypatch.setattr("fastpipe.similarity.probes._DISTANCES_AT_ONCE", 730)
    assert knn_accuracy(*sample) == whole


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize(("n", "D"), [(100, 8), (50, 200)])
def test_neither_rotation_nor_scale_nor_shift_nor_order_nor_names_matter(
    clusters, rotation, probe, n, D
):
    x, y, val, truth = halves(clusters, n, D)
    plain, turn = probe(x, y, val, truth), rotation(D)
    assert probe(1e-3 * x @ turn + 2, y, 1e-3 * val @ turn + 2, truth) == plain
    order = np.random.default_rng(1).permutation(n)
    assert probe(x[order], 9 - 2 * y[order], val, 9 - 2 * truth) == plain


@pytest.mark.parametrize("probe", PROBES)
def test_perfect_when_classes_lie_apart_and_chance_when_labels_are_shuffled(clusters, probe):
    x, y, val, truth = halves(clusters, 300, 8, apart=20)
    assert probe(x, y, val, truth) == 1.0
    shuffled = np.random.default_rng(0).permutation(y)
    assert probe(x, shuffled, val, truth) < 0.45  # of four classes


@pytest.mark.parametrize("probe", PROBES)
def test_validation_images_choose_nothing(clusters, probe):
    """Each is judged as if it were alone."""
    x, y, val, truth = halves(clusters, 60, 8)
    alone = [probe(x, y, val[i : i + 1], truth[i : i + 1]) for i in range(len(val))]
    assert probe(x, y, val, truth) == pytest.approx(np.mean(alone), rel=1e-12)


@pytest.mark.parametrize("probe", PROBES)
def test_a_class_without_training_images_is_missed(clusters, probe):
    x, y, val, truth = halves(clusters, 60, 8, apart=20)
    assert probe(x, y, val, np.full_like(truth, 9)) == 0.0


@pytest.mark.parametrize("probe", PROBES)
def test_equal_features_give_one_class(probe):
    found = probe(np.zeros((5, 2)), [1, 1, 1, 0, 0], np.zeros((4, 2)), [1, 0, 0, 0])
    assert found == 0.25


@pytest.mark.parametrize("probe", PROBES)
def test_bad_input(probe):
    x = np.eye(4)
    with pytest.raises(UserError, match="all 4 images are of one class"):
        probe(x, [1] * 4, x, [1] * 4)
    with pytest.raises(ValueError, match=r"validation features \(4, 3\) do not fit 4 labels and 4"):
        probe(x, [0, 1, 0, 1], x[:, :3], [0] * 4)
    with pytest.raises(ValueError, match="do not fit 0 labels"):
        probe(x, [0, 1, 0, 1], x[:0], [])
    with pytest.raises(ValueError, match="neighbours must be at least 1"):
        knn_accuracy(x, [0, 1, 0, 1], x, [0] * 4, 0)
