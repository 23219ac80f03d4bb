"""Ordered providers."""

import pytest

from fastpipe.config.dataset import (
    FolderProvider,
    PackageProvider,
    SklearnProvider,
    TorchvisionProvider,
)
from fastpipe.data.providers.serve import describe, serve
from fastpipe.errors import UserError

DIGITS = SklearnProvider(kind="sklearn", name="digits")


def _folder(path):
    return FolderProvider(kind="folder", path=str(path))


def test_the_first_that_can_serves(tmp_path):
    provider, provided = serve([_folder(tmp_path / "no"), DIGITS, _folder("x")], {}, tmp_path)
    assert provider == DIGITS
    assert len(provided.train.labels) == 1797


def test_when_all_fail_each_reason_is_given(tmp_path):
    providers = [
        _folder(tmp_path / "a b"),
        DIGITS,
        TorchvisionProvider(kind="torchvision", name="MNIST", root=str(tmp_path)),
    ]
    with pytest.raises(UserError) as caught:
        serve(providers, {"other.csv": "0" * 64}, tmp_path)
    first, *tried, last = str(caught.value).splitlines()
    assert first == "no provider could serve the images:"
    assert tried[0] == f"  1. folder {tmp_path}/a b: there is no folder {tmp_path}/a b"
    assert tried[1].startswith("  2. sklearn digits: sha256 names 'other.csv', but ")
    assert tried[2].startswith("  3. torchvision MNIST: ")
    assert last.startswith("Mend one of them")


def test_a_mistake_in_the_images_is_not_hidden_by_the_next_provider(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no class folders"):
        serve([_folder(tmp_path / "empty"), DIGITS], {}, tmp_path)


def test_every_kind_can_be_described():
    package = PackageProvider(kind="packages", registry="npm", package="x", version="1")
    assert describe(package) == "npm package x 1"
    assert describe(package.model_copy(update={"version": None})) == "npm package x"
    assert describe(_folder("~/x")) == "folder ~/x"
