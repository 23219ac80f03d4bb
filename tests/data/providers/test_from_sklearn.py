"""The digits of scikit-learn."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from fastpipe.config.dataset import SklearnProvider
from fastpipe.data.providers.from_sklearn import provide_sklearn
from fastpipe.data.providers.provided import UnavailableError

DIGITS = SklearnProvider(kind="sklearn", name="digits")


def test_values_are_scaled_to_the_whole_range():
    provided = provide_sklearn(DIGITS, {})
    assert provided.train.pixels.shape == (1797, 8, 8)
    assert provided.classes == [str(digit) for digit in range(10)]
    assert provided.test is None
    raw = sklearn.datasets.load_digits().images
    for value in (0, 8, 16):
        assert (provided.train.pixels[raw == value] == round(value * 255 / 16)).all()
    assert len(np.unique(provided.train.pixels)) == 17


def test_the_file_is_hashed():
    path = Path(sklearn.datasets.__file__).parent / "data/digits.csv.gz"
    expected = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    assert provide_sklearn(DIGITS, {}).sha256 == {"digits.csv": expected}
    with pytest.raises(UnavailableError, match=r"digits\.csv has SHA-256"):
        provide_sklearn(DIGITS, {"digits.csv": "0" * 64})
