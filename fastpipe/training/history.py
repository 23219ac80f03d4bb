"""What is written down about a fine-tuning run while it goes on."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastpipe.training.dynamics import Observed

__all__ = ["Deployment", "History", "Step", "Validation"]


class Step(NamedTuple):
    """One optimiser update; step 0 is the state before the first."""

    step: int
    loss: float | None
    """Cross-entropy of the batch before the update, in nats; None at step 0 and if not finite."""
    head_norm: float | None
    """‖W‖_F after the update; None if not finite."""
    diverged: bool
    """The run ended here, before the update, because a number was not finite."""


class Validation(NamedTuple):
    """Score on the validation split after an update."""

    step: int
    phase: str
    """`warmup` if the last update moved the head alone as a warm-up, else `joint`."""
    loss: float
    top1: float
    top5: float | None
    correct: int
    images: int


class Deployment(NamedTuple):
    """At the checkpoint after `step`, the state after `deployed_step` is deployed."""

    step: int
    deployed_step: int


@dataclass
class History:
    """The rows of a run so far, complete up to the last step taken."""

    steps: list[Step] = field(default_factory=list)
    dynamics: list[Observed] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    deployments: list[Deployment] = field(default_factory=list)
    diverged_step: int | None = None
    prototype_cosine: float | None = None
    """How well the first update of the head agrees with the first batch's class means."""
    warmup_end_step: int | None = None
    """Step of the validation that ended warm-up; the next step moved the body."""

    @property
    def best_step(self) -> int:
        """Step of the highest validation top-1, in whole images, the earlier one on ties; 0, the
        initial state, while nothing has been validated."""
        best = max(self.validations, key=lambda row: row.correct, default=None)
        return best.step if best else 0

    @property
    def updates(self) -> int:
        """Optimiser updates that count: those before the divergence, if any."""
        return sum(1 for row in self.steps if row.step > 0 and not row.diverged)

    def as_json(self) -> dict[str, Any]:
        """This history as JSON values (rows become lists); floats survive exactly."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "History":
        """The history that :meth:`as_json` described."""
        rows = {
            "steps": Step,
            "dynamics": Observed,
            "validations": Validation,
            "deployments": Deployment,
        }
        typed = {name: [kind(*row) for row in value[name]] for name, kind in rows.items()}
        return cls(**(value | typed))
