"""Probes: how well do simple classifiers on fixed features do? The cheap baselines of scores.

Both learn from features of training images alone, their settings included, and are scored on the
validation split; test images play no part.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastpipe.similarity.labelled import Labelled, labelled

__all__ = ["RIDGE_STRENGTHS", "knn_accuracy", "ridge_accuracy"]

RIDGE_STRENGTHS = 10.0 ** np.arange(-6, 3.5, 0.5)
"""Candidates for λ, in units of ‖F‖²/D, F the centred features [n, D]."""

_DISTANCES_AT_ONCE = 2**22


def knn_accuracy(
    features: ArrayLike,
    labels: ArrayLike,
    val_features: ArrayLike,
    val_labels: ArrayLike,
    neighbours: int = 5,
) -> float:
    """Share of validation images whose nearest training images are mostly of their class.

    Among classes with equally many of the `neighbours` nearest (Euclidean distance; all images, if
    there are fewer), the one with the nearest of all is taken.

    Args:
        features: of the training images, [n, D].
        labels: integers [n].
        val_features: [m, D].
        val_labels: integers [m]; a class without training images is always missed.
        neighbours: k ≥ 1.

    Raises:
        UserError: a feature is not finite, or there is only one training class.
        ValueError: shapes do not fit together, or no neighbours.
    """
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, not {neighbours}")
    data = labelled(features, labels)
    val, truth = _validation(data, val_features, val_labels)
    k = min(neighbours, len(data.features))
    rows = max(1, _DISTANCES_AT_ONCE // len(data.features))
    parts = np.array_split(val, range(rows, len(val), rows))
    found = np.concatenate([_majority(data, part, k) for part in parts])
    return float((data.classes[found] == truth).mean())


def _majority(data: Labelled, val: NDArray, k: int) -> NDArray[np.intp]:
    from scipy.spatial.distance import cdist

    order = cdist(val, data.features).argsort(1, kind="stable")[:, :k]
    near = data.codes[order]  # [m, k], nearest first
    votes = (near[:, :, None] == near[:, None, :]).sum(2)
    return np.take_along_axis(near, votes.argmax(1)[:, None], 1)[:, 0]


def ridge_accuracy(
    features: ArrayLike, labels: ArrayLike, val_features: ArrayLike, val_labels: ArrayLike
) -> float:
    """Share of validation images that a ridge classifier gets right.

    Least squares of classes' indicators with an intercept and λ‖W‖²; the class of the greatest
    output is taken. λ is the candidate with the least squared leave-one-out error on the training
    images, which has a closed form: each residual divided by 1 − hᵢᵢ, h the hat matrix.

    Arguments and errors as :func:`knn_accuracy`'s.
    """
    data = labelled(features, labels)
    val, truth = _validation(data, val_features, val_labels)
    mean, y = data.features.mean(0), data.indicators
    U, sigma, Vt = np.linalg.svd(data.features - mean, full_matrices=False)
    y_mean = y.mean(0)
    z = U.T @ (y - y_mean)
    scale = np.square(sigma).sum() / data.features.shape[1] or 1.0
    errors = [_left_out(U, sigma, y - y_mean, z, s * scale) for s in RIDGE_STRENGTHS]
    strength = RIDGE_STRENGTHS[int(np.argmin(errors))] * scale
    weights = Vt.T @ (z * (sigma / (sigma**2 + strength))[:, None])
    outputs = (val - mean) @ weights + y_mean
    return float((data.classes[outputs.argmax(1)] == truth).mean())


def _left_out(U: NDArray, sigma: NDArray, y: NDArray, z: NDArray, strength: float) -> float:
    """Squared error of predicting each training image from the others."""
    kept = sigma**2 / (sigma**2 + strength)
    residuals = y - U @ (kept[:, None] * z)
    leverage = 1 / len(y) + np.square(U) @ kept
    return float(np.square(residuals / (1 - leverage)[:, None]).sum())


def _validation(
    data: Labelled, features: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray]:
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    if features.shape != (len(labels), data.features.shape[1]) or not len(labels):
        raise ValueError(
            f"validation features {features.shape} do not fit {len(labels)} labels and "
            f"{data.features.shape[1]} features"
        )
    return features, labels
