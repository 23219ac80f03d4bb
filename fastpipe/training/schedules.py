"""How learning rates change over the steps of a run.

A schedule is a factor that both rates are multiplied with, a function of the step alone: a resumed
run needs only the step it is at. Step t (1, 2, …) is made at the rate that torch's schedulers have
after t − 1 calls of `step()`.
"""

import math
from collections.abc import Sequence
from typing import Literal

__all__ = ["Schedule", "rate_factor"]

Schedule = Literal["constant", "step", "cosine", "exponential"]


def rate_factor(
    step: int,
    total: int,
    schedule: Schedule,
    *,
    milestones: Sequence[float] = (),
    decay_factor: float = 0.1,
) -> float:
    """Rate of an update over that of the first, in [0, 1].

    `step`: `decay_factor` to the number of milestones passed; a milestone m is passed by the
    updates after the round(m · total)-th. `cosine`: (1 + cos(π (step − 1) / total)) / 2 (Loshchilov
    & Hutter 2017, arXiv:1608.03983, without restarts). `exponential`: from 1 at the first update
    geometrically to `decay_factor` at the last.

    Args:
        step: the update, counted from 1; 0 is taken as 1.
        total: updates that the schedule spans; later ones are as `total` + 1.
        schedule: which.
        milestones: fractions of `total`; `step` only.
        decay_factor: `step` and `exponential` only.
    """
    done = min(max(step - 1, 0), total)
    if schedule == "step":
        return decay_factor ** sum(round(m * total) <= done for m in milestones)
    if schedule == "cosine":
        return (1 + math.cos(math.pi * done / total)) / 2
    if schedule == "exponential":
        return decay_factor ** (min(done, total - 1) / max(total - 1, 1))
    return 1.0
