"""Real images, small networks: scikit-learn's digits at their own 8×8 pixels."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from fastpipe.config.backbone import Backbone
from fastpipe.data.arrays import Split
from fastpipe.data.streams import generator
from fastpipe.models.network import Network, build_network
from fastpipe.training.task import Task


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def task() -> Task:
    """1,000 training and 200 validation images of the ten digits."""
    bunch = load_digits()
    images = torch.from_numpy((bunch.images * 15).astype(np.uint8))[:, None]
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    return Task(
        "digits",
        10,
        Split(images[:1000], labels[:1000]),
        Split(images[1000:1200], labels[1000:1200]),
    )


def make_network(seed=0, *, widths=(4, 8), **head) -> Network:
    """A small network, random by seed; fp32 unless told otherwise."""
    return build_network(
        Backbone(widths=widths),
        10,
        channels=1,
        mean=[0.3],
        std=[0.35],
        body_generator=generator("body", seed),
        head_generator=generator("head", seed),
        **head,
    )


@pytest.fixture
def network():
    """Factory of small networks, random by seed."""
    return make_network
