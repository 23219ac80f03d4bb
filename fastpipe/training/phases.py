"""Classifier warm-up: first the head alone, then head and body jointly (Li & Hoiem).

The FAST paper (section 6.4.1) ends warm-up "whenever the validation accuracy has not improved at
least one percent for 10 consecutive SGD steps". Our reading: it is judged at the scheduled
validations, in whole image counts, against the accuracy at the last such improvement, and the
switch comes at the first validation 10 or more steps after that improvement. The first validation
counts as an improvement, since nothing was measured before it.

What the optimiser does at the switch: nothing is reset. The head's momentum (and Adam's moments
and step count) go on; the body's start from zero at its first update, as it has had no gradient.
"""

import math
from collections.abc import Iterable
from fractions import Fraction

from fastpipe.config.recipe import Recipe

__all__ = ["images_gained", "starts_frozen", "warmup_end"]


def starts_frozen(recipe: Recipe) -> bool:
    """Whether the body stays as it is, in inference mode, from the first step on."""
    moves = recipe.beta > 0 and recipe.warmup == "none"
    return not moves and (recipe.body_mode == "inference" or recipe.warmup == "frozen-stats")


def images_gained(gain: float, images: int) -> int:
    """Fewest more correct images that raise top-1 by at least `gain` (a fraction above 0).

    Exact: `gain` is taken as the decimal number it was written as, so 0.01 of 700 images is 7,
    where floating point gives 7.000000000000001.
    """
    return math.ceil(Fraction(repr(gain)) * images)


def warmup_end(
    validations: Iterable[tuple[int, int]], *, images: int, gain: float = 0.01, patience: int = 10
) -> int | None:
    """Step of the validation that ends warm-up, or None while warm-up goes on.

    Args:
        validations: (step, correctly classified images) in order, from the start of the run.
        images: images in the validation split.
        gain: smallest rise of top-1, as a fraction, that counts as an improvement.
        patience: steps without an improvement after which warm-up ends.

    Returns:
        The last step of warm-up: the next step is the first to move the body.
    """
    needed = images_gained(gain, images)
    reference: tuple[int, int] | None = None
    for step, correct in validations:
        if reference is None or correct - reference[1] >= needed:
            reference = (step, correct)
        elif step - reference[0] >= patience:
            return step
    return None
