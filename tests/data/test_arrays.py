"""Prepared arrays as tensors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpipe.data.arrays import Split, load_split
from fastpipe.errors import UserError


@pytest.fixture
def folder(tmp_path):
    stream = np.random.default_rng(0)
    np.save(tmp_path / "val-images.npy", stream.integers(256, size=(7, 5, 6, 3), dtype=np.uint8))
    np.save(tmp_path / "val-labels.npy", np.arange(7, dtype=np.int64))
    return tmp_path


def test_a_split_is_the_stored_bytes_seen_as_nchw(folder):
    split = load_split(folder, "val")
    stored = np.load(folder / "val-images.npy")
    assert len(split) == 7
    assert split.images.shape == (7, 3, 5, 6)
    assert split.images.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(split.images.numpy(), stored.transpose(0, 3, 1, 2))


def test_the_file_survives_a_write_to_the_tensor(folder):
    before = (folder / "val-images.npy").read_bytes()
    load_split(folder, "val").images.zero_()
    assert (folder / "val-images.npy").read_bytes() == before


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.sampled_from([1, 3]))
def test_gather_is_plain_indexing(indices, channels):
    images = torch.arange(7 * 5 * 6 * channels).to(torch.uint8).view(7, 5, 6, channels)
    split = Split(images.permute(0, 3, 1, 2), torch.arange(7) * 10)
    chosen = torch.tensor(indices)
    found, labels = split.gather(chosen, "cpu")
    assert torch.equal(found, split.images[chosen])
    assert torch.equal(labels, split.labels[chosen])
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_a_split_moves_only_within_the_budget(folder):
    split = load_split(folder, "val")
    size = split.images.numel()
    assert split.to("meta", size - 1) is split
    moved = split.to("meta", size)
    assert moved.images.device.type == moved.labels.device.type == "meta"
    assert moved.images.stride() == split.images.stride()
    assert split.to("cpu", size) is split


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("budget", [0, 1 << 20])
def test_gather_brings_images_to_the_gpu_from_either_place(folder, budget):
    split = load_split(folder, "val")
    chosen = torch.tensor([5, 0, 5])
    images, labels = split.to("cuda", budget).gather(chosen, "cuda")
    assert images.device.type == labels.device.type == "cuda"
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images.cpu(), split.images[chosen])
    assert torch.equal(labels.cpu(), split.labels[chosen])


def test_damaged_files_are_named(folder):
    with pytest.raises(UserError, match=r"train-images\.npy is missing"):
        load_split(folder, "train")
    np.save(folder / "val-labels.npy", np.arange(6))
    with pytest.raises(UserError, match=r"val-labels\.npy holds int64 \(6,\) where int64 \(7,\)"):
        load_split(folder, "val")
    np.save(folder / "val-images.npy", np.zeros((7, 5, 6), np.uint8))
    with pytest.raises(UserError, match=r"val-images\.npy holds uint8 \(7, 5, 6\)"):
        load_split(folder, "val")
    content = (folder / "val-images.npy").read_bytes()
    (folder / "val-images.npy").write_bytes(content[:-10])
    with pytest.raises(UserError, match=r"val-images\.npy is damaged"):
        load_split(folder, "val")
    (folder / "val-images.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"val-images\.npy is damaged"):
        load_split(folder, "val")
