"""LogME against the literal density, maximised by scipy, and against scikit-learn's evidence."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.linear_model import BayesianRidge

from fastpipe.errors import UserError
from fastpipe.similarity.logme import logme

SHAPES = [(60, 8), (30, 30), (20, 50), (12, 200)]  # more images than features, as many, fewer


def density(F, y, log_alpha, log_beta):
    """log N(y; 0, I/β + F Fᵀ/α), written out."""
    covariance = np.eye(len(y)) / np.exp(log_beta) + F @ F.T / np.exp(log_alpha)
    return multivariate_normal(np.zeros(len(y)), covariance, allow_singular=True).logpdf(y)


def reference_scipy(F, labels):
    """The greatest density from several starts of a simplex search, mean over classes, by image."""
    found = []
    for label in np.unique(labels):
        y = (labels == label).astype(float)
        starts = [(a, b) for a in (-4, 0, 4, 8) for b in (0, 3)]
        options = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000}
        found.append(
            max(
                -minimize(
                    lambda p, y=y: -density(F, y, *np.clip(p, -25, 25)),
                    start,
                    method="Nelder-Mead",
                    options=options,
                ).fun
                for start in starts
            )
        )
    return np.mean(found) / len(labels)


@pytest.mark.parametrize(("n", "D"), SHAPES)
@pytest.mark.parametrize("apart", [0.3, 1.0])
def test_is_the_maximum_of_the_literal_density(clusters, n, D, apart):
    features, labels = clusters(n, D, apart=apart)
    found, reference = logme(features, labels), reference_scipy(features, labels)
    # The search's covariances are clipped and jittered: it can only fall short.
    assert found >= reference - 1e-9
    assert found == pytest.approx(reference, abs=2e-5)


@pytest.mark.parametrize(("n", "D"), [(60, 8), (300, 20), (40, 60)])
def test_is_bayesian_ridges_evidence(clusters, n, D):
    """scikit-learn's fixed point, without intercept, its Gamma priors as good as flat."""
    features, labels = clusters(n, D, apart=0.7)
    scores = []
    for label in np.unique(labels):
        model = BayesianRidge(
            compute_score=True, fit_intercept=False, max_iter=20_000, tol=1e-12,
            alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0,
        )  # fmt: skip
        scores.append(model.fit(features, (labels == label).astype(float)).scores_[-1])
    assert logme(features, labels) == pytest.approx(np.mean(scores) / n, rel=1e-6)


@pytest.mark.parametrize(("n", "D"), SHAPES)
def test_neither_rotation_nor_scale_nor_order_nor_names_matter(clusters, rotation, n, D):
    features, labels = clusters(n, D)
    plain = logme(features, labels)
    assert logme(features @ rotation(D), labels) == pytest.approx(plain, rel=1e-9)
    assert logme(1e-3 * features, labels) == pytest.approx(plain, rel=1e-9)
    order = np.random.default_rng(1).permutation(n)
    assert logme(features[order], labels[order]) == pytest.approx(plain, rel=1e-9)
    assert logme(features, 7 - 2 * labels) == pytest.approx(plain, rel=1e-12)


def test_features_of_zeros_in_front_do_not_matter(clusters):
    features, labels = clusters(20, 10)
    wide = np.hstack([np.zeros((20, 30)), features])
    assert logme(wide, labels) == pytest.approx(logme(features, labels), rel=1e-9)


@pytest.mark.parametrize(("n", "D"), [(200, 10), (60, 200)])
def test_rises_with_separation_and_beats_shuffled_labels(clusters, n, D):
    found = [logme(*clusters(n, D, apart=apart)) for apart in (0, 0.3, 1, 3)]
    assert found == sorted(found)
    features, labels = clusters(n, D, apart=1)
    shuffled = np.random.default_rng(0).permutation(labels)
    assert logme(features, labels) > logme(features, shuffled) + 0.05


def test_features_that_say_nothing_leave_the_noise_alone():
    """y ~ N(0, I/β) at β = n/‖y‖², for classes of 1/4 and 3/4 of the images."""
    labels = np.array([0, 1, 1, 1] * 10)
    by_hand = np.mean([-0.5 * np.log(2 * np.pi * share) - 0.5 for share in (0.25, 0.75)])
    assert logme(np.zeros((40, 5)), labels) == pytest.approx(by_hand, rel=1e-12)


def test_a_class_that_features_give_exactly_has_no_greatest_evidence():
    labels = np.array([0, 1, 2] * 5)
    assert logme(np.eye(3)[labels], labels) == np.inf


def test_only_classes_that_occur_count(clusters):
    features, labels = clusters()
    assert logme(features, 5 * labels + 3) == pytest.approx(logme(features, labels), rel=1e-12)


@pytest.mark.parametrize(
    ("features", "labels", "error", "message"),
    [
        (np.ones((3, 2)), [1, 1, 1], UserError, "all 3 images are of one class"),
        ([[1.0], [np.nan], [2.0]], [0, 1, 1], UserError, "features of image 1 are not finite"),
        (np.ones((3, 2)), [0, 1], ValueError, "expected 3 integer labels"),
        (np.ones((3, 2)), [0.0, 1.0, 1.0], ValueError, "expected 3 integer labels, not float64"),
        (np.ones(3), [0, 1, 1], ValueError, "must be images × features"),
        (np.ones((0, 3)), [], ValueError, "must be images × features"),
    ],
)
def test_bad_input(features, labels, error, message):
    with pytest.raises(error, match=message):
        logme(features, labels)
