"""What is trained on, be it in pretraining or in fine-tuning."""

from dataclasses import dataclass

from fastpipe.data.arrays import Split

__all__ = ["Task"]


@dataclass(frozen=True)
class Task:
    """What is trained on. There is no test split: training cannot see it."""

    dataset: str
    classes: int
    train: Split
    """Images may be larger than those of `val`, so that random crops can show their edges."""
    val: Split

    @property
    def side(self) -> int:
        """Side of the images that the network sees, in pixels."""
        return self.val.images.shape[-1]
