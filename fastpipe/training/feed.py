"""The training images of each step, a function of (dataset, seed, step) and of nothing else."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fastpipe.data.arrays import Split
from fastpipe.data.augmentation import Augmentation, augment, mirrored
from fastpipe.data.streams import generator

__all__ = ["Batches", "Feed"]


class Batches(Protocol):
    """Chooses the images of a step."""

    def indices(self, step: int) -> Tensor:
        """Positions, int64 (M,), of the images of `step` (1, 2, …)."""


@dataclass(frozen=True)
class Feed:
    """Batches of a split, on the device that trains.

    Choices of images and of changes to them do not depend on the rest of the recipe, so two
    recipes with one seed see the same batches and the same flips; nor on any state, so a resumed
    run needs only the step it is at.
    """

    split: Split
    batches: Batches
    dataset: str
    seed: int
    augmentation: Augmentation
    device: torch.device
    side: int | None = None
    """Of the images that the network sees, in pixels; default: as those of the split."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """uint8 images [M, C, H, W], channels_last, and labels [M] of a step."""
        images, labels = self.split.gather(self.batches.indices(step), self.device)
        name = (self.dataset, self.seed, step)
        return augment(images, self.augmentation, *name, side=self.side), labels

    def views(self, step: int) -> Tensor:
        """What a step's batch shows if images are flipped at most, int64 [M]: an image's position
        in the split, plus the length of the split where the image is mirrored."""
        positions = self.batches.indices(step)
        if not self.augmentation.flip:
            return positions
        turned = mirrored(len(positions), self.dataset, self.seed, step)
        return positions + len(self.split) * turned

    def labels(self, positions: Tensor) -> Tensor:
        """Labels int64 [M], on the device that trains, of images at positions [M]."""
        labels = self.split.labels
        return labels.index_select(0, positions.to(labels.device)).to(self.device)

    def seed_layers(self, step: int) -> None:
        """Seed torch's own generator, from which dropout and its kin draw, for a step."""
        seed = generator("layers", self.dataset, self.seed, step).initial_seed()
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed takes 85 times as long
