"""H-scores against their literal traces, the shrinkage against scikit-learn's."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from fastpipe.errors import UserError
from fastpipe.similarity.h_score import h_score, ledoit_wolf_shrinkage, regularised_h_score

SHAPES = [(60, 8), (30, 30), (20, 50), (12, 200)]


def class_mean_covariance(features, labels):
    means = np.array([features[labels == label].mean(0) for label in labels])
    return np.cov(means, rowvar=False, bias=True)


@pytest.mark.parametrize(("n", "D"), SHAPES)
def test_is_the_literal_trace(clusters, n, D):
    features, labels = clusters(n, D)
    inverse = np.linalg.pinv(np.cov(features, rowvar=False, bias=True), rcond=1e-10, hermitian=True)
    reference = np.trace(inverse @ class_mean_covariance(features, labels))
    assert h_score(features, labels) == pytest.approx(reference, rel=1e-8)


@pytest.mark.parametrize(("n", "D"), SHAPES)
def test_regularised_is_the_literal_trace_with_sklearns_covariance(clusters, n, D):
    features, labels = clusters(n, D, apart=0.5)
    covariance, alpha = ledoit_wolf(features)
    between = (1 - alpha) * class_mean_covariance(features, labels)
    reference = np.trace(np.linalg.inv(covariance) @ between)
    assert ledoit_wolf_shrinkage(features) == pytest.approx(alpha, rel=1e-10)
    assert regularised_h_score(features, labels) == pytest.approx(reference, rel=1e-10)


@pytest.mark.parametrize("score", [h_score, regularised_h_score])
@pytest.mark.parametrize(("n", "D"), SHAPES)
def test_neither_rotation_nor_scale_nor_shift_nor_order_nor_names_matter(
    clusters, rotation, score, n, D
):
    features, labels = clusters(n, D)
    plain = score(features, labels)
    assert score(1e-4 * features @ rotation(D) + 3, labels) == pytest.approx(plain, rel=1e-8)
    order = np.random.default_rng(1).permutation(n)
    assert score(features[order], 9 - labels[order]) == pytest.approx(plain, rel=1e-10)


def test_copies_of_the_images_do_not_matter_to_the_plain_score(clusters):
    features, labels = clusters()
    doubled = h_score(np.tile(features, (2, 1)), np.tile(labels, 2))
    assert doubled == pytest.approx(h_score(features, labels), rel=1e-10)


def test_any_regular_map_of_the_features_leaves_the_plain_score(clusters):
    features, labels = clusters()
    map_ = np.random.default_rng(3).normal(size=(8, 8))
    assert h_score(features @ map_, labels) == pytest.approx(h_score(features, labels), rel=1e-8)


def test_with_more_features_than_images_only_the_regularised_score_tells_labels_from_noise(
    clusters,
):
    features, labels = clusters(60, 200, apart=1)
    shuffled = np.random.default_rng(0).permutation(labels)
    assert h_score(features, labels) == pytest.approx(3, rel=1e-9)
    assert h_score(features, shuffled) == pytest.approx(3, rel=1e-9)
    assert regularised_h_score(features, labels) > regularised_h_score(features, shuffled) + 0.3


@pytest.mark.parametrize("score", [h_score, regularised_h_score])
def test_rises_with_separation_up_to_classes_less_one(clusters, score):
    found = [score(*clusters(400, 8, apart=apart)) for apart in (0, 0.3, 1, 3)]
    assert found == sorted(found) and found[0] >= 0 and found[-1] < 3


@pytest.mark.parametrize("score", [h_score, regularised_h_score])
def test_equal_features_say_nothing(score):
    assert score(np.full((7, 3), 0.1), [0, 1, 0, 1, 0, 1, 1]) == 0.0


@pytest.mark.parametrize("score", [h_score, regularised_h_score])
def test_a_constant_feature_adds_nothing_to_the_plain_score(clusters, score):
    features, labels = clusters()
    wide = np.hstack([features, np.full((60, 1), 1e3)])
    assert np.isfinite(score(wide, labels))
    assert h_score(wide, labels) == pytest.approx(h_score(features, labels), rel=1e-9)


@pytest.mark.parametrize("score", [h_score, regularised_h_score])
def test_one_class_is_refused(score):
    with pytest.raises(UserError, match="all 4 images are of one class"):
        score(np.ones((4, 2)), [1] * 4)
