"""Anytime deployment: how good is the model one would hand over after each step?

Training is stopped, in thought, at every deployment checkpoint τ. What one would deploy there is
the state with the best validation top-1 among the validations at steps ≤ τ (FAST, section 6,
"Anytime Deployment Performance", ADP). At τ = 0 the initial state is deployed; it is no candidate
afterwards, so until the first validation it stays deployed for want of another.
"""

import itertools
import math
from collections.abc import Iterable, Sequence

__all__ = ["adp_auc", "deployed_steps"]


def deployed_steps(
    validations: Iterable[tuple[int, float]], checkpoints: Iterable[int]
) -> dict[int, int]:
    """Step of the state deployed at each checkpoint.

    Args:
        validations: (step, validation top-1) of each validation; steps ≥ 1, strictly increasing.
            A NaN score is never the best.
        checkpoints: deployment checkpoints τ ≥ 0.

    Returns:
        τ → step of the best validation at steps ≤ τ, the earliest on ties; 0 (the initial state)
        for τ = 0 and where nothing has been validated yet.

    Raises:
        ValueError: validation steps below 1 or not increasing, or a checkpoint below 0.
    """
    leaders = _leaders(validations)
    deployed = {}
    for checkpoint in checkpoints:
        if checkpoint < 0:
            raise ValueError(f"checkpoint {checkpoint} is below 0")
        deployed[checkpoint] = max((s for s in leaders if s <= checkpoint), default=0)
    return deployed


def _leaders(validations: Iterable[tuple[int, float]]) -> list[int]:
    """Steps whose validation beat every one before."""
    best, last, leaders = -math.inf, 0, []
    for step, top1 in validations:
        if step <= last:
            raise ValueError(f"validation step {step} follows {last}: steps count up from 1")
        last = step
        if top1 > best:
            best = top1
            leaders.append(step)
    return leaders


def adp_auc(steps: Sequence[int], top1: Sequence[float]) -> float:
    """Area under ADP top-1 against log(step), from step 1 to the last, over the axis's length.

    Straight lines between checkpoints (trapezoids), so the value lies in [0, 1]. Step 0 has no
    logarithm and is left out. If step 1 is also the last, its top-1.

    Args:
        steps: deployment checkpoints, strictly increasing, with 1 among them.
        top1: deployed state's top-1 at each, as a fraction.

    Raises:
        ValueError: lengths differ, steps do not increase or lack step 1.
    """
    if len(steps) != len(top1):
        raise ValueError(f"{len(steps)} steps but {len(top1)} scores")
    points = [(step, score) for step, score in zip(steps, top1, strict=True) if step >= 1]
    if not points or points[0][0] != 1:
        raise ValueError(f"the axis starts at step 1, but the steps are {list(steps)[:5]}")
    pairs = list(itertools.pairwise(points))
    if any(right <= left for (left, _), (right, _) in pairs):
        raise ValueError(f"steps do not increase: {list(steps)}")
    if not pairs:
        return float(points[0][1])
    area = sum((a + b) / 2 * math.log(right / left) for (left, a), (right, b) in pairs)
    return area / math.log(points[-1][0])
