"""The idx format of the MNIST family: a typed n-dimensional array, often compressed by gzip.

Four bytes (0, 0, type, dimensions), one big-endian 32-bit length per dimension, then the values.
Source: the file format section of the MNIST database's page.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

__all__ = ["IdxError", "read_idx"]

_UINT8 = 0x08
_LARGEST_BYTES = 1 << 33


class IdxError(Exception):
    """The file is not idx, is damaged, or does not end where it says; the message names it."""


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array of an idx file, decompressed if its name ends with `.gz`.

    Raises IdxError. Only as much is read as the header claims, so a compressed bomb stays small.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _header(path, file.read(4 + 4 * dimensions), dimensions)
            content = file.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise IdxError(f"{path} cannot be read: {error}") from None
    if len(content) != math.prod(shape):
        more = "more" if len(content) > math.prod(shape) else f"only {len(content)}"
        raise IdxError(f"{path} announces {math.prod(shape)} values but holds {more}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _header(path: Path, header: bytes, dimensions: int) -> tuple[int, ...]:
    if len(header) < 4 + 4 * dimensions or header[:4] != bytes([0, 0, _UINT8, dimensions]):
        raise IdxError(
            f"{path} is no idx file of uint8 values in {dimensions} dimensions "
            f"(it starts with {header[:4]!r})"
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if math.prod(shape) > _LARGEST_BYTES:
        raise IdxError(f"{path} announces {math.prod(shape)} values, more than {_LARGEST_BYTES}")
    return shape
