"""H-score: how far apart are the classes' mean features, by the features' own spread?

Bao et al., "An information-theoretic approach to transferability in task transfer learning" (ICIP
2019), definition 2: with Σ_f the covariance of the features and Σ_g that of their class means, each
image standing for its class's mean,

    H = tr(Σ_f⁺ Σ_g),                  between 0 and min(classes − 1, rank of Σ_f).

With fewer images than features Σ_f says little, and H tends to that upper bound. Ibrahim,
Ponomareva and Mazumder, "Newer is not always better: Rethinking transferability metrics, their
peculiarities, stability and performance" (2021), section 4, therefore shrink it:

    H_α = tr(Σ_α⁻¹ (1 − α) Σ_g),       Σ_α = (1 − α) Σ_f + α tr(Σ_f)/D I,

α as Ledoit and Wolf (2004) estimate it. Both follow from F = U Σ Vᵀ, F centred: with P the
projection onto the classes' indicators, Σ_f = V Σ² Vᵀ/n and Σ_g = V Σ UᵀPU Σ Vᵀ/n, so that
H = Σⱼ ‖P uⱼ‖².
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastpipe.similarity.labelled import labelled

__all__ = ["h_score", "ledoit_wolf_shrinkage", "regularised_h_score"]


def h_score(features: ArrayLike, labels: ArrayLike) -> float:
    """H-score, with the pseudo-inverse of the covariance; 0 if all images have the same features.

    Args:
        features: [n, D].
        labels: integers [n]; classes are the labels that occur.

    Raises:
        UserError: a feature is not finite, or there is only one class.
        ValueError: shapes do not fit together.
    """
    return float(_spectrum(features, labels).between.sum())


def regularised_h_score(features: ArrayLike, labels: ArrayLike) -> float:
    """H-score with Ledoit–Wolf's shrunk covariance; 0 if all images have the same features.

    Arguments and errors as :func:`h_score`'s.
    """
    found = _spectrum(features, labels)
    alpha = ledoit_wolf_shrinkage(features)
    variances = (1 - alpha) * found.variances
    prior = alpha * found.variances.sum() / found.dimensions
    return float((variances / (variances + prior) * found.between).sum())


def ledoit_wolf_shrinkage(features: ArrayLike) -> float:
    """Weight α ∈ [0, 1] of the multiple of the identity in the shrunk covariance.

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices"
    (2004), section 3.2: α = min(b², d²) / d², d² the mean squared deviation of the covariance S of
    the centred features from tr(S)/D I, and b² that of single images' x xᵀ from S, by the image.

    Args:
        features: [n, D]; 0 is returned if S is such a multiple already.
    """
    x = np.asarray(features, np.float64)
    x = x - x.mean(0)
    n, D = x.shape
    gram = x @ x.T if n < D else x.T @ x  # the same eigenvalues, but for zeros
    squared_norm = np.square(gram).sum() / n**2  # ‖S‖²
    spread = (squared_norm - (np.square(x).sum() / n) ** 2 / D) / D
    noise = (np.square(np.square(x).sum(1)).sum() / n - squared_norm) / n / D
    if spread <= np.finfo(float).eps * squared_norm:
        return 0.0
    return float(min(max(noise, 0.0), spread) / spread)


class _Spectrum(NamedTuple):
    variances: NDArray[np.float64]  # [r], eigenvalues of Σ_f above rounding, r its rank
    between: NDArray[np.float64]  # [r], ‖P uⱼ‖², the share of each that lies between classes
    dimensions: int  # D


def _spectrum(features: ArrayLike, labels: ArrayLike) -> _Spectrum:
    data = labelled(features, labels)
    n, D = data.features.shape
    mean = data.features.mean(0)
    U, sigma, _ = np.linalg.svd(data.features - mean, full_matrices=False)
    # What is left of equal features is rounding of their mean, however small it makes σ₁.
    largest = max(sigma[0], np.linalg.norm(mean) * np.sqrt(n))
    kept = sigma > np.finfo(float).eps * max(n, D) * largest
    sums = data.indicators.T @ U[:, kept]
    between = np.square(sums / np.sqrt(data.counts)[:, None]).sum(0)
    return _Spectrum(sigma[kept] ** 2 / n, between, D)
