"""Labelled features for tests of scores."""

import numpy as np
import pytest


@pytest.fixture
def clusters():
    """Builder of (features [n, D], labels [n]): classes around centres `apart` from each other."""

    def build(n=60, D=8, classes=4, apart=1.0, seed=0, positive=False):
        rng = np.random.default_rng(seed)
        labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
        features = apart * rng.normal(size=(classes, D))[labels] + rng.normal(size=(n, D))
        return (np.maximum(features, 0) if positive else features), labels

    return build


@pytest.fixture
def probabilities():
    """Builder of (probabilities [n, source classes], labels [n]), related as `sharp` says."""

    def build(n=60, kinds=5, classes=4, sharp=1.0, seed=0):
        rng = np.random.default_rng(seed)
        labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
        logits = rng.normal(size=(n, kinds)) + sharp * rng.normal(size=(classes, kinds))[labels]
        odds = np.exp(logits)
        return odds / odds.sum(1, keepdims=True), labels

    return build


@pytest.fixture
def rotation():
    """Builder of a random orthogonal matrix [D, D]."""

    def build(D, seed=0):
        return np.linalg.qr(np.random.default_rng(seed).normal(size=(D, D)))[0]

    return build
