"""torchvision's dataset classes, on tiny files in their official formats."""

import hashlib
import pickle
import struct
import tarfile

import numpy as np
import pytest
import torchvision.datasets as tv
from PIL import Image
from scipy.io import savemat

from fastpipe.config.dataset import TorchvisionProvider
from fastpipe.data.providers import from_torchvision
from fastpipe.data.providers.from_torchvision import provide_torchvision
from fastpipe.data.providers.provided import UnavailableError
from fastpipe.errors import UserError

STREAM = np.random.default_rng(0)


def _provide(name, root, downloads=None, sha256=None, **options):
    provider = TorchvisionProvider(
        kind="torchvision", name=name, root=None if root is None else str(root), **options
    )
    return provide_torchvision(provider, sha256 or {}, downloads)


def _pixels(pictures, channels=3):
    size = 32 if channels == 3 else 28
    rows = np.zeros((len(pictures.labels), size, size, channels), dtype=np.uint8)
    assert pictures.fill(rows, np.arange(len(rows))) == []
    return rows


def _write_mnist(root, name="MNIST"):
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    images = STREAM.integers(256, size=(20, 28, 28), dtype=np.uint8)
    for split in ("train", "t10k"):
        head = struct.pack(">BBBB3I", 0, 0, 8, 3, 20, 28, 28)
        (raw / f"{split}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = struct.pack(">BBBBI", 0, 0, 8, 1, 20)
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(head + bytes(i % 10 for i in range(20)))
    return images


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_the_mnist_family(tmp_path, name):
    images = _write_mnist(tmp_path, name)
    provided = _provide(name, tmp_path)
    np.testing.assert_array_equal(_pixels(provided.train, 1)[..., 0], images)
    assert provided.test.labels.tolist() == [i % 10 for i in range(20)]
    if name == "MNIST":
        assert provided.classes == [str(digit) for digit in range(10)]
    if name == "FashionMNIST":
        assert provided.classes[9] == "Ankle boot"


def test_hashes_of_raw_files_are_checked(tmp_path):
    _write_mnist(tmp_path)
    name = "t10k-labels-idx1-ubyte"
    right = hashlib.sha256((tmp_path / "MNIST/raw" / name).read_bytes()).hexdigest()
    assert _provide("MNIST", tmp_path, sha256={name: right}).sha256 == {name: right}
    with pytest.raises(UnavailableError, match="t10k-labels-idx1-ubyte has SHA-256"):
        _provide("MNIST", tmp_path, sha256={name: "0" * 64})


def _write_cifar10(root, monkeypatch):
    """Batches in the official pickled format; their md5 sums replace the official ones."""
    folder = root / tv.CIFAR10.base_folder
    folder.mkdir(parents=True)
    images = STREAM.integers(256, size=(6, 3, 32, 32), dtype=np.uint8)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    def batch(first, last):
        return {"data": images[first:last].reshape(last - first, -1), "labels": [9, 1, 0][:2]}

    train = [[n, write(n, batch(i, i + 2))] for i, n in ((0, "data_batch_1"), (2, "data_batch_2"))]
    monkeypatch.setattr(tv.CIFAR10, "train_list", train)
    monkeypatch.setattr(tv.CIFAR10, "test_list", [["test_batch", write("test_batch", batch(4, 6))]])
    names = [*(f"kind {number}" for number in range(9)), "truck"]
    md5 = write("batches.meta", {"label_names": names})
    monkeypatch.setattr(tv.CIFAR10, "meta", tv.CIFAR10.meta | {"md5": md5})
    return images.transpose(0, 2, 3, 1)


def test_cifar10(tmp_path, monkeypatch):
    images = _write_cifar10(tmp_path, monkeypatch)
    provided = _provide("CIFAR10", tmp_path)
    np.testing.assert_array_equal(_pixels(provided.train), images[:4])
    np.testing.assert_array_equal(_pixels(provided.test), images[4:])
    assert provided.train.labels.tolist() == [9, 1, 9, 1]
    assert provided.classes[9] == "truck"
    assert provided.train.source(3) == "CIFAR10, train image 3"


def test_svhn_by_its_split_argument(tmp_path, monkeypatch):
    images = STREAM.integers(256, size=(32, 32, 3, 4), dtype=np.uint8)
    lists = {}
    for split, last in (("train", 4), ("test", 3)):
        path = tmp_path / f"{split}_32x32.mat"
        savemat(path, {"X": images, "y": np.array([[1], [2], [10], [last]], dtype=np.uint8)})
        lists[split] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(tv.SVHN, "split_list", lists)
    provided = _provide("SVHN", tmp_path)
    np.testing.assert_array_equal(_pixels(provided.train), images.transpose(3, 0, 1, 2))
    assert provided.test.labels.tolist() == [1, 2, 0, 3]  # torchvision turns 10 into 0
    assert provided.train.labels.tolist() == [1, 2, 0, 4]
    assert provided.classes == ["0", "1", "2", "3", "4"]


def _write_eurosat(root):
    for index, name in enumerate(["Forest", "River"]):
        folder = root / "eurosat/2750" / name
        folder.mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (32, 32), (index, number, 0)).save(folder / f"{number}.png")


def _write_flowers(root, monkeypatch):
    """Images 1 to 9 of three kinds: 1–3 for training, 4–6 for validation, 7–9 for testing."""
    base = root / "flowers-102"
    (base / "jpg").mkdir(parents=True)
    for number in range(1, 10):
        Image.new("RGB", (8, 8), (number * 20,) * 3).save(base / "jpg" / f"image_{number:05d}.jpg")
    savemat(base / "imagelabels.mat", {"labels": [[1, 2, 3] * 3]})
    sets = {
        name: [list(range(at, at + 3))] for name, at in (("trnid", 1), ("valid", 4), ("tstid", 7))
    }
    savemat(base / "setid.mat", sets)
    known = dict(tv.Flowers102._file_dict)
    for key, name in (("label", "imagelabels.mat"), ("setid", "setid.mat")):
        known[key] = (name, hashlib.md5((base / name).read_bytes()).hexdigest())
    monkeypatch.setattr(tv.Flowers102, "_file_dict", known)


def test_a_validation_split_may_be_trained_on_too(tmp_path, monkeypatch):
    _write_flowers(tmp_path, monkeypatch)
    alone = _provide("Flowers102", tmp_path)
    both = _provide("Flowers102", tmp_path, also_train=("val",))
    assert [len(alone.train.labels), len(both.train.labels), len(both.test.labels)] == [3, 6, 3]
    assert both.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert _pixels(both.train)[:, 0, 0, 0].tolist() == [20, 40, 60, 80, 100, 120]
    assert both.train.source(5) == "Flowers102, val image 2"
    with pytest.raises(UserError, match="Flowers102 has no split 'vla' to add to training"):
        _provide("Flowers102", tmp_path, also_train=("vla",))
    with pytest.raises(UserError, match="MNIST has no split 'val' to add"):
        _write_mnist(tmp_path)
        _provide("MNIST", tmp_path, also_train=("val",))


def test_a_class_without_splits_and_its_broken_files(tmp_path):
    _write_eurosat(tmp_path)
    provided = _provide("EuroSAT", tmp_path)
    assert provided.test is None
    assert provided.classes == ["Forest", "River"]
    assert _pixels(provided.train)[:, 0, 0, 0].tolist() == [0, 0, 1, 1]
    broken = tmp_path / "eurosat/2750/River/1.png"
    broken.write_bytes(b"<html>")
    rows = np.zeros((4, 32, 32, 3), dtype=np.uint8)
    (failure,) = _provide("EuroSAT", tmp_path).train.fill(rows, np.arange(4))
    assert failure.source == str(broken)
    assert failure.position == 3
    assert "UnidentifiedImageError" in failure.reason


def test_synonyms_are_joined_and_equal_names_told_apart(tmp_path, monkeypatch):
    _write_eurosat(tmp_path)
    made = tv.EuroSAT.__init__

    def make(self, *arguments, **options):
        made(self, *arguments, **options)
        self.classes = names

    monkeypatch.setattr(tv.EuroSAT, "__init__", make)
    names = [("crane",), ("crane",)]
    assert _provide("EuroSAT", tmp_path).classes == ["crane (0)", "crane (1)"]
    names = [("drake",), ("red-breasted merganser", "Mergus serrator")]
    assert _provide("EuroSAT", tmp_path).classes[1] == "red-breasted merganser, Mergus serrator"


def test_labels_kept_by_the_class_are_compared_with_what_it_gives(tmp_path, monkeypatch):
    _write_eurosat(tmp_path)
    given = tv.EuroSAT.__getitem__
    monkeypatch.setattr(
        tv.EuroSAT, "__getitem__", lambda self, i: (given(self, i)[0], 1 - given(self, i)[1])
    )
    assert _provide("EuroSAT", tmp_path).train.labels.tolist() == [1, 1, 0, 0]


def test_other_kinds_of_labels_are_refused(tmp_path, monkeypatch):
    _write_eurosat(tmp_path)
    given = tv.EuroSAT.__getitem__
    monkeypatch.setattr(tv.EuroSAT, "__getitem__", lambda self, i: (given(self, i)[0], (1, 2)))
    with pytest.raises(UserError, match=r"EuroSAT does not label .* but with tuple '\(1, 2\)'"):
        _provide("EuroSAT", tmp_path)


def test_an_unknown_class_gets_a_suggestion(tmp_path):
    with pytest.raises(UserError, match="no dataset class 'cifar-100'; did you mean 'CIFAR100'"):
        _provide("cifar-100", tmp_path)


def test_a_folder_without_the_files_is_unavailable(tmp_path):
    with pytest.raises(UnavailableError, match=r"datasets.MNIST: RuntimeError: Dataset not found"):
        _provide("MNIST", tmp_path)


@pytest.mark.fault(29)
def test_a_download_is_kept_only_when_complete(tmp_path, monkeypatch):
    def download(self):
        _write_mnist(tmp_path / "made" / str(len(calls)))
        calls.append(self.root)
        (tmp_path / "made/0/MNIST").rename(f"{self.root}/MNIST")
        if len(calls) == 1:
            raise OSError("the line is dead")

    calls = []
    monkeypatch.setattr(tv.MNIST, "download", download)
    with pytest.raises(UnavailableError, match=r"datasets.MNIST: OSError: the line is dead"):
        _provide("MNIST", None, tmp_path / "downloads")
    assert not list((tmp_path / "downloads").rglob("*-ubyte"))
    monkeypatch.setattr(
        tv.MNIST,
        "download",
        lambda self: self._check_exists() or _write_mnist(from_torchvision.Path(self.root)),
    )
    for _ in range(2):
        provided = _provide("MNIST", None, tmp_path / "downloads")
    assert len(provided.train.labels) == 20
    assert (tmp_path / "downloads/torchvision-MNIST/MNIST/raw").is_dir()


@pytest.mark.fault(29)
def test_torchvisions_unpacking_is_filtered_too(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    with (
        from_torchvision._guarded(),
        tarfile.open(tmp_path / "a.tar") as tar,
        pytest.raises(tarfile.FilterError),
    ):
        tar.extractall(tmp_path / "to")
    assert not (tmp_path / "to/link").is_symlink()
    assert "filtered" not in tarfile.TarFile.extractall.__qualname__
