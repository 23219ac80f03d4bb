"""Labelled features, checked once: what every transferability score starts from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastpipe.errors import UserError

__all__ = ["Labelled", "class_codes", "labelled"]


class Labelled(NamedTuple):
    """Features of n images and the classes that they show."""

    features: NDArray[np.float64]
    """[n, D]."""
    codes: NDArray[np.intp]
    """[n], place of each image's class among `classes`."""
    classes: NDArray[np.int64]
    """Labels that occur, ascending; at least two."""

    @property
    def counts(self) -> NDArray[np.intp]:
        """Images of each class, none of them 0."""
        return np.bincount(self.codes)

    @property
    def indicators(self) -> NDArray[np.float64]:
        """[n, classes]: 1 where an image shows the class, else 0."""
        return np.eye(len(self.classes))[self.codes]


def labelled(features: ArrayLike, labels: ArrayLike) -> Labelled:
    """Features in float64 and their labels, numbered anew so that no class is empty.

    Args:
        features: [n, D].
        labels: integers [n]; a label that does not occur is no class.

    Raises:
        UserError: a feature is not finite, or all images show one class.
        ValueError: shapes do not fit together, there are no images, or labels are no integers.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not features.size:
        raise ValueError(f"features must be images × features, not {features.shape}")
    codes, classes = class_codes(labels, len(features))
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if bad.size:
        raise UserError(
            f"the features of image {bad[0]} are not finite ({bad.size} images in all): the "
            "network that computed them has diverged"
        )
    return Labelled(features, codes, classes)


def class_codes(labels: ArrayLike, images: int) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """(place of each image's class among those that occur, the labels that occur).

    Raises:
        UserError: all images show one class.
        ValueError: not one integer for each image.
    """
    labels = np.asarray(labels)
    if labels.shape != (images,) or labels.dtype.kind not in "iu":
        raise ValueError(f"expected {images} integer labels, not {labels.dtype} {labels.shape}")
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UserError(
            f"all {images} images are of one class: transferability to a target needs two classes"
        )
    return codes, classes
