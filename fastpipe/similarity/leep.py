"""LEEP: how well does the source's own classifier, relabelled, predict the target's labels?

Nguyen et al., "LEEP: A new measure to evaluate transferability of learned representations" (ICML
2020), section 3. With θᵢ(z) the probability that the source's head gives its class z on image i,

    P(y, z) = 1/n Σ_{i: yᵢ = y} θᵢ(z),    P(y | z) = P(y, z) / P(z),
    LEEP = 1/n Σᵢ log Σ_z P(yᵢ | z) θᵢ(z),

which is at most 0. A source class that gets no mass on any image has no P(y | z), and adds nothing.
"""

import numpy as np
from numpy.typing import ArrayLike

from fastpipe.errors import UserError
from fastpipe.similarity.labelled import class_codes

__all__ = ["leep"]

_TOLERANCE = 1e-3  # probabilities may come in float32, or even bf16


def leep(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean log-likelihood of the labels under the expected empirical predictor [nats].

    Args:
        probabilities: [n, source classes], each row a distribution (normalised here once more).
        labels: integers [n]; classes are the labels that occur.

    Raises:
        UserError: a row is not finite, has a negative number or does not sum to 1, or there is
            only one class.
        ValueError: shapes do not fit together.
    """
    theta = np.asarray(probabilities, np.float64)
    if theta.ndim != 2 or not theta.size:
        raise ValueError(f"probabilities must be images × source classes, not {theta.shape}")
    codes, classes = class_codes(labels, len(theta))
    sums = theta.sum(1, keepdims=True)
    bad = ~((theta >= 0).all(1) & (abs(sums[:, 0] - 1) <= _TOLERANCE))
    if bad.any():
        image = int(bad.argmax())
        raise UserError(
            f"the source head's probabilities of image {image} are no distribution (sum "
            f"{sums[image, 0]:g}; {bad.sum()} images in all): the source has diverged"
        )
    theta = theta / sums
    joint = np.eye(len(classes))[codes].T @ theta / len(theta)  # P(y, z)
    mass = joint.sum(0)
    conditional = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)
    return float(np.log((conditional[codes] * theta).sum(1)).mean())
