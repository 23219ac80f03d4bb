"""How a head starts: the distributions of W(0), shared by sources and recipes."""

from typing import Literal

__all__ = ["HeadInit"]

HeadInit = Literal["normal", "zeros", "kaiming-fan-in", "kaiming-fan-out", "xavier"]
