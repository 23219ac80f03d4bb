"""What a provider hands over: labelled pictures, decoded only when asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from PIL import Image

from fastpipe.data.providers.images import Aspect, UnreadableError, converted

__all__ = ["Failure", "ImagePictures", "Pictures", "PixelPictures", "Provided", "UnavailableError"]


class UnavailableError(Exception):
    """A provider cannot serve; the message says why. The next provider is tried."""


@dataclass(frozen=True)
class Failure:
    """A picture that could not be read."""

    position: int
    """Which of the rows asked for."""
    source: str
    """File, or position in the provider's split."""
    reason: str


class Pictures(Protocol):
    """Labelled pictures of one split."""

    labels: np.ndarray
    """int64 (n,)."""

    def source(self, index: int) -> str:
        """Where picture `index` comes from, for messages and the card."""

    def fill(
        self, rows: np.ndarray, indices: np.ndarray, aspect: Aspect = "stretch"
    ) -> list[Failure]:
        """Write pictures `indices` into `rows`, uint8 (k, size, size, channels), made square as
        `aspect` says.

        Rows of pictures that cannot be read are left as they are and reported. Thread-safe.
        """


@dataclass(frozen=True)
class PixelPictures:
    """Pictures that are pixels already: uint8 (n, H, W) or (n, H, W, 3)."""

    pixels: np.ndarray
    labels: np.ndarray

    def source(self, index: int) -> str:
        """See :class:`Pictures`."""
        return f"image {index}"

    def fill(
        self, rows: np.ndarray, indices: np.ndarray, aspect: Aspect = "stretch"
    ) -> list[Failure]:
        """See :class:`Pictures`. Pixels of the right shape are copied as they are."""
        pixels = self.pixels if self.pixels.ndim == 4 else self.pixels[..., None]
        if pixels.shape[1:] == rows.shape[1:]:
            rows[:] = pixels[indices]
            return []
        _, size, _, channels = rows.shape
        for row, index in zip(rows, indices, strict=True):
            row[:] = converted(Image.fromarray(self.pixels[index]), size, channels, aspect)
        return []


@dataclass(frozen=True)
class ImagePictures:
    """Pictures that are opened one by one."""

    open: Callable[[int], Image.Image]
    """Decoded image number i; raises UnreadableError."""
    source: Callable[[int], str]
    """Where image number i comes from, for messages and the card."""
    labels: np.ndarray

    def fill(
        self, rows: np.ndarray, indices: np.ndarray, aspect: Aspect = "stretch"
    ) -> list[Failure]:
        """See :class:`Pictures`."""
        _, size, _, channels = rows.shape
        failures = []
        for position, index in enumerate(indices.tolist()):
            try:
                rows[position] = converted(self.open(index), size, channels, aspect)
            except UnreadableError as error:
                failures.append(Failure(position, self.source(index), str(error)))
        return failures


@dataclass(frozen=True)
class Provided:
    """A dataset as its provider knows it."""

    classes: Sequence[str]
    """Class names; a label is a position in this list."""
    train: Pictures
    """The training pictures, or all pictures where `test` is None."""
    test: Pictures | None
    """The test pictures, if the provider separates them."""
    licence: str | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    """Digests of the provided files that were checked, after decompression, by file name."""
    other_files: dict[str, int] = field(default_factory=dict)
    """How many files among the images were left out because their suffix is no image's, by it."""
