"""When to validate and when to deploy: the schedules of the FAST paper.

Steps are optimiser updates, counted from 1; step 0 is the state before the first update.
"""

__all__ = ["LARGEST_GAP", "deployment_steps", "validation_steps"]

LARGEST_GAP = 10
"""Gap at which the spacing of validations saturates, in steps (FAST paper, section 6.2.1)."""


def validation_steps(total: int) -> list[int]:
    """Steps after which the validation split is scored: 1, 3, 6, 10, …, 55, 65, 75, …, `total`.

    The gaps grow 1, 2, 3, … and saturate at 10 (FAST paper, section 6.2.1). The last step is
    always one of them.

    Args:
        total: optimiser updates of the run, at least 1.
    """
    _check(total)
    steps, step, gap = [], 1, 1
    while step < total:
        steps.append(step)
        gap = min(gap + 1, LARGEST_GAP)
        step += gap
    return [*steps, total]


def deployment_steps(total: int) -> list[int]:
    """Deployment checkpoints: the Fibonacci steps 0, 1, 2, 3, 5, 8, 13, … and `total`.

    The repeated 1 is skipped (FAST paper, section 6.2.1); the last step is always one of them.

    Args:
        total: optimiser updates of the run, at least 1.
    """
    _check(total)
    steps, step, following = [0], 1, 2
    while step < total:
        steps.append(step)
        step, following = following, step + following
    return [*steps, total]


def _check(total: int) -> None:
    if total < 1:
        raise ValueError(f"a run has at least 1 step, not {total}")
