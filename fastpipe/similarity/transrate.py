"""TransRate: how many bits fewer code the features once the classes are known?

Huang et al., "Frustratingly easy transferability estimation" (ICML 2022), section 3: with Z the
centred features and Z_c those of the n_c images of class c,

    R(Z) = ½ log det(I + ZᵀZ / (n ε)),
    TrR = R(Z) − Σ_c n_c/n R(Z_c),

an estimate of the mutual information of features and labels. Published code weighs classes equally,
which is the same for classes of one size. ε is a distortion in squared units of the features, so
the score compares snapshots whose features are of a similar size.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastpipe.similarity.labelled import labelled

__all__ = ["transrate"]


def transrate(features: ArrayLike, labels: ArrayLike, epsilon: float = 1e-4) -> float:
    """Coding rate of the features less that within classes [nats].

    Args:
        features: [n, D].
        labels: integers [n]; classes are the labels that occur.
        epsilon: distortion ε > 0, in squared units of the features.

    Raises:
        UserError: a feature is not finite, or there is only one class.
        ValueError: shapes do not fit together, or ε is not above 0.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon must be above 0, not {epsilon}")
    data = labelled(features, labels)
    Z = data.features - data.features.mean(0)
    within = sum(
        count / len(Z) * _rate(Z[data.codes == code], epsilon)
        for code, count in enumerate(data.counts)
    )
    return float(_rate(Z, epsilon) - within)


def _rate(Z: NDArray[np.float64], epsilon: float) -> float:
    """½ log det(I + ZᵀZ / (n ε)), by the smaller of ZᵀZ and Z Zᵀ."""
    n, D = Z.shape
    gram = Z @ Z.T if n < D else Z.T @ Z
    return float(np.linalg.slogdet(np.eye(len(gram)) + gram / (n * epsilon))[1] / 2)
