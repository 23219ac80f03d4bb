"""Reading idx files."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fastpipe.data.providers.idx import IdxError, read_idx


def _idx(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


@given(arrays(np.uint8, array_shapes(max_dims=3, max_side=6)), st.booleans())
def test_what_is_written_is_read(tmp_path_factory, array, compressed):
    path = tmp_path_factory.mktemp("idx") / ("x.gz" if compressed else "x")
    path.write_bytes(gzip.compress(_idx(array)) if compressed else _idx(array))
    np.testing.assert_array_equal(read_idx(path, array.ndim), array)


def test_real_numbers_of_the_format():
    header = bytes.fromhex("00000803 0000ea60 0000001c 0000001c")  # MNIST's training images
    assert _idx(np.zeros((60_000, 28, 28), np.uint8))[:16] == header


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_idx(np.zeros((3, 2, 2), np.uint8))[:-1], "announces 12 values but holds only 11"),
        (_idx(np.zeros((3, 2, 2), np.uint8)) + b"x", "announces 12 values but holds more"),
        (_idx(np.zeros(3, np.uint8)), "no idx file of uint8 values in 3 dimensions"),
        (b"", r"it starts with b''"),
        (b"<html>" * 9, "it starts with b'<htm'"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 2**31), "announces .* more than"),
    ],
)
def test_damage_is_named(tmp_path, content, reason):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(IdxError, match=f"x .*{reason}"):
        read_idx(tmp_path / "x", 3)


@pytest.mark.parametrize("keep", [5, 20, -4])
def test_truncated_compression_is_named(tmp_path, keep):
    content = gzip.compress(_idx(np.arange(60, dtype=np.uint8).reshape(3, 4, 5)))
    (tmp_path / "x.gz").write_bytes(content[:keep])
    with pytest.raises(IdxError, match=r"x\.gz cannot be read"):
        read_idx(tmp_path / "x.gz", 3)


def test_damaged_compression_is_named(tmp_path):
    content = bytearray(gzip.compress(_idx(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))))
    content[10] ^= 0xFF  # the type of the first deflate block
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(IdxError, match=r"x\.gz cannot be read: Error -3"):
        read_idx(tmp_path / "x.gz", 3)
