"""Which images make up step t: class-balanced for fine-tuning, shuffled for pretraining.

Both answer `indices(step)` as a pure function of (dataset, seed, step), steps counted from 1.
Draws are made ahead in blocks and kept, so that asking for consecutive steps costs next to nothing.
"""

from functools import lru_cache

import torch
from torch import Tensor

from fastpipe.data.streams import generator
from fastpipe.errors import UserError

__all__ = ["BalancedBatches", "ShuffledBatches"]

_AHEAD_INDICES = 1 << 15
"""About how many indices of balanced batches are worked out at once (a quarter of a MiB)."""
_DRAW_INDICES = 256
"""A class with fewer images than this has several of its passes drawn at once."""


class BalancedBatches:
    """Batches of M images with M/N of each of N classes.

    Each class is gone through in an endless chain of passes; a pass is a fresh permutation of the
    class, so every image is used once before any is used again. A class with fewer than M/N
    images therefore appears more than once in a batch. Within a batch classes are in order.
    """

    def __init__(
        self, labels: Tensor, batch_size: int, dataset: str, seed: int, classes: int | None = None
    ):
        """Balance over `labels`, int64 (n,) in [0, classes); default: the largest label + 1.

        Raises UserError if the batch cannot hold the same number of each class, or if a class
        has no image.
        """
        counts = torch.bincount(labels.cpu(), minlength=classes or 0)
        self.classes, self.batch_size = len(counts), batch_size
        self.per_class = self._share(counts, dataset)
        self._members = torch.argsort(labels.cpu(), stable=True).split(counts.tolist())
        self._stream = (dataset, seed)
        self._steps = max(1, _AHEAD_INDICES // batch_size)
        # A block serves consecutive steps, a draw the end of one block and the start of the next.
        self._block = lru_cache(maxsize=2)(self._make_block)
        self._draw = lru_cache(maxsize=2 * self.classes)(self._make_draw)

    def indices(self, step: int) -> Tensor:
        """Positions, int64 (M,), of the images of `step` (1, 2, …)."""
        block, row = divmod(_checked(step) - 1, self._steps)
        return self._block(block)[row]

    def _share(self, counts: Tensor, dataset: str) -> int:
        classes = len(counts)
        empty = (counts == 0).nonzero().flatten().tolist()
        if empty or not classes:
            raise UserError(
                f"dataset {dataset}: balanced batches need images of every class, but class "
                f"number {', '.join(map(str, empty)) or '0'} has none in the training split."
            )
        share, rest = divmod(self.batch_size, classes)
        if rest or not share:
            raise UserError(
                f"dataset {dataset}: a batch of {self.batch_size} cannot hold the same number of "
                f"each of {classes} classes. Use a multiple of {classes} as batch_size."
            )
        return share

    def _make_block(self, block: int) -> Tensor:
        """Batches of steps block·K + 1 … (block + 1)·K, int64 (K, M)."""
        first = block * self._steps * self.per_class
        last = first + self._steps * self.per_class
        columns = [
            self._chain(index, first, last).view(self._steps, self.per_class)
            for index in range(self.classes)
        ]
        return torch.cat(columns, dim=1)

    def _chain(self, index: int, first: int, last: int) -> Tensor:
        """Links `first` to `last` (excluded) of the chain of class `index`."""
        length = self._draw_length(index)
        draws = range(first // length, (last - 1) // length + 1)
        chain = torch.cat([self._draw(index, draw) for draw in draws])
        return chain[first - draws[0] * length : last - draws[0] * length]

    def _draw_length(self, index: int) -> int:
        count = len(self._members[index])
        return count * max(1, _DRAW_INDICES // count)

    def _make_draw(self, index: int, draw: int) -> Tensor:
        """One or more passes through class `index`, drawn together."""
        members = self._members[index]
        passes = self._draw_length(index) // len(members)
        stream = generator("batches", *self._stream, index, draw)
        # Ranking float64 draws permutes many short rows at once, and uniformly: a tie has
        # probability below 2^-37.
        keys = torch.rand(passes, len(members), generator=stream, dtype=torch.float64)
        return members[keys.argsort(dim=1).flatten()]


class ShuffledBatches:
    """Batches of M out of `count` images, a fresh permutation each epoch.

    An incomplete last batch is dropped, so the images left out differ from epoch to epoch.
    """

    def __init__(self, count: int, batch_size: int, dataset: str, seed: int):
        """Raises UserError if not even one batch can be filled."""
        if batch_size > count:
            raise UserError(
                f"dataset {dataset}: a batch of {batch_size} is larger than the training split of "
                f"{count} images. Use a smaller batch_size."
            )
        self.count, self.batch_size = count, batch_size
        self.steps_per_epoch = count // batch_size
        self._stream = (dataset, seed)
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    def indices(self, step: int) -> Tensor:
        """Positions, int64 (M,), of the images of `step` (1, 2, …)."""
        epoch, row = divmod(_checked(step) - 1, self.steps_per_epoch)
        return self._epoch(epoch)[row]

    def _make_epoch(self, epoch: int) -> Tensor:
        order = torch.randperm(self.count, generator=generator("shuffle", *self._stream, epoch))
        return order[: self.steps_per_epoch * self.batch_size].view(-1, self.batch_size)


def _checked(step: int) -> int:
    if step < 1:
        raise ValueError(f"steps are counted from 1, got {step}")
    return step
