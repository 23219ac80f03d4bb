"""How many images of each class a fraction is."""

from collections.abc import Sequence
from fractions import Fraction

__all__ = ["apportion"]


def apportion(counts: Sequence[int], fraction: float) -> list[int]:
    """How many of each class to hold out: about `fraction`, at least 1, never all.

    Largest remainders: the total is the fraction of all images, rounded up; each class gets its
    exact share rounded down or up. Where that is 0 it gets 1 nevertheless. The fraction is taken
    as the decimal number it is written as, so 0.07 of 100 is 7.

    Raises ValueError for a class with fewer than 2 images, or a fraction outside (0, 1).
    """
    share = Fraction(repr(fraction))
    if not 0 < share < 1 or any(count < 2 for count in counts):
        raise ValueError(f"cannot hold out {fraction} of classes with {list(counts)} images")
    quotas = [share * count for count in counts]
    held = [int(quota) for quota in quotas]
    missing = -int(-share * sum(counts) // 1) - sum(held)
    by_remainder = sorted(range(len(held)), key=lambda i: (held[i] - quotas[i], i))
    for index in by_remainder[:missing]:
        held[index] += 1
    return [min(max(h, 1), count - 1) for h, count in zip(held, counts, strict=True)]
