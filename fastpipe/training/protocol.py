"""When to validate, when to look closely, and when to deploy.

`anytime` is the protocol of the FAST paper: what could be deployed at any moment. `final` is that
of the hyperparameters paper: what training ends with. Steps are optimiser updates, counted from 1;
step 0 is the state before the first update.
"""

from typing import Literal

__all__ = ["LARGEST_GAP", "Protocol", "deployment_steps", "looked_at_steps", "validation_steps"]

Protocol = Literal["anytime", "final"]

LARGEST_GAP = 10
"""Gap at which the spacing of validations saturates, in steps (FAST paper, section 6.2.1)."""

FINAL_VALIDATIONS = 20
"""Validations of a run under `final`, if it has as many steps."""


def validation_steps(total: int, protocol: Protocol = "anytime") -> list[int]:
    """Steps after which the validation split is scored; the last step is always one of them.

    `anytime`: 1, 3, 6, 10, …, 55, 65, 75, …, `total`: the gaps grow 1, 2, 3, … and saturate at 10
    (FAST paper, section 6.2.1). `final`: 20 evenly spaced steps, ⌊k `total` / 20⌋; every step of a
    shorter run.

    Args:
        total: optimiser updates of the run, at least 1.
        protocol: which.
    """
    _check(total)
    if protocol == "final":
        count = min(FINAL_VALIDATIONS, total)
        return [total * k // count for k in range(1, count + 1)]
    steps, step, gap = [], 1, 1
    while step < total:
        steps.append(step)
        gap = min(gap + 1, LARGEST_GAP)
        step += gap
    return [*steps, total]


def looked_at_steps(total: int, protocol: Protocol = "anytime") -> list[int]:
    """Updates that are looked at closely: the validated ones, and 1 and 3 in any case.

    Step 1 makes prototypes of a head near 0, and step 3 is the first whose body's movement shows
    it (FAST paper, equations 20 and 22).
    """
    early = {step for step in (1, 3) if step <= total} if protocol == "final" else set()
    return sorted({*validation_steps(total, protocol), *early})


def deployment_steps(total: int, protocol: Protocol = "anytime") -> list[int]:
    """Deployment checkpoints; the last step is always one of them.

    `anytime`: the Fibonacci steps 0, 1, 2, 3, 5, 8, 13, … and `total`, the repeated 1 skipped
    (FAST paper, section 6.2.1). `final`: `total` alone.

    Args:
        total: optimiser updates of the run, at least 1.
        protocol: which.
    """
    _check(total)
    if protocol == "final":
        return [total]
    steps, step, following = [0], 1, 2
    while step < total:
        steps.append(step)
        step, following = following, step + following
    return [*steps, total]


def _check(total: int) -> None:
    if total < 1:
        raise ValueError(f"a run has at least 1 step, not {total}")
