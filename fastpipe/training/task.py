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
    val: Split
