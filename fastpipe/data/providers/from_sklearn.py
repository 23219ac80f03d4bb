"""Images shipped inside scikit-learn."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fastpipe.config.dataset import SklearnProvider
from fastpipe.data.providers.hashes import checked_hashes
from fastpipe.data.providers.provided import PixelPictures, Provided

__all__ = ["provide_sklearn"]


def provide_sklearn(provider: SklearnProvider, sha256: Mapping[str, str]) -> Provided:
    """The 1,797 handwritten digits of `load_digits`: 8 × 8 grey, values 0–16 scaled to 0–255.

    Not split. Raises UnavailableError if a file's hash is not the expected one.
    """
    import sklearn.datasets

    data = Path(sklearn.datasets.__file__).parent / "data"
    hashes = checked_hashes(data, sha256, also=[data / "digits.csv.gz"])
    digits = sklearn.datasets.load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return Provided(
        classes=[str(name) for name in digits.target_names],
        train=PixelPictures(pixels, digits.target.astype(np.int64)),
        test=None,
        licence="BSD-3-Clause (scikit-learn); data: UCI optdigits",
        sha256=hashes,
    )
