"""Pretraining a source: shuffled epochs of SGD, cut into snapshots anywhere.

Every step is a function of its number and the state before it, so a source continued from one
snapshot to the next is, bit by bit, the source trained in one go.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fastpipe.config.source import Pretraining
from fastpipe.data.augmentation import Augmentation
from fastpipe.data.batches import ShuffledBatches
from fastpipe.evaluation.inference import Evaluator
from fastpipe.models.network import Network, set_body_mode
from fastpipe.training.feed import Feed
from fastpipe.training.finite import is_finite, spoilt
from fastpipe.training.resumption import (
    Saved,
    Watcher,
    load_optimiser,
    optimiser_tensors,
    prefixed,
    without_prefix,
)
from fastpipe.training.schedules import rate_factor
from fastpipe.training.task import Task

__all__ = ["DivergedError", "Learned", "SourceTraining"]

_BLOCK_STEPS = 50
"""Steps after which losses are fetched from a GPU, and a save may be due."""


class DivergedError(Exception):
    """The loss or a gradient of a step, or what came of it, is not finite; the message says."""

    def __init__(self, step: int, what: str = "the loss"):
        super().__init__(f"{what} of step {step} is not finite")
        self.step = step


class Learned(NamedTuple):
    """A point of the learning curve."""

    epoch: float
    """Position: steps taken / steps per epoch."""
    step: int
    split: str
    """`train`: the step's batch before its update. `val`: the whole validation split after it."""
    loss: float
    top1: float


class SourceTraining:
    """A source on its way to a snapshot.

    Args:
        network: on its device; trained in place.
        recipe: how.
        task: the source's own dataset.
        step: steps that the network has behind it.
        rows: the learning curve up to there, as a snapshot before has it.

    Raises:
        UserError: not even one batch can be filled.
    """

    def __init__(
        self,
        network: Network,
        recipe: Pretraining,
        task: Task,
        step: int = 0,
        rows: list[Learned] | None = None,
    ):
        self.network, self.recipe, self.task, self.step = network, recipe, task, step
        device = network.head.weight.device
        batches = ShuffledBatches(len(task.train), recipe.batch_size, task.dataset, recipe.seed)
        self.steps_per_epoch = batches.steps_per_epoch
        augmentation = Augmentation(flip=recipe.flip)
        self.feed = Feed(
            task.train, batches, task.dataset, recipe.seed, augmentation, device, task.side
        )
        self.optimiser = torch.optim.SGD(
            network.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=device.type == "cuda",
        )
        # A validation at a snapshot between whole epochs belongs to that snapshot alone.
        self.rows = [r for r in rows or [] if r.split == "train" or self._is_whole(r.step)]
        self._parameters = list(network.parameters())
        self._evaluator = Evaluator(network)
        self._pending: list[Tensor] = []
        self._prompt = device.type == "cpu"

    def step_of(self, epoch: float) -> int:
        """The step nearest to an epoch."""
        return round(epoch * self.steps_per_epoch)

    def learning_rate(self, step: int) -> float:
        """Rate of an update (1, 2, …); the schedule spans the recipe's epochs."""
        recipe = self.recipe
        return recipe.lr * rate_factor(
            step,
            self.step_of(recipe.epochs),
            recipe.schedule,
            milestones=recipe.milestones,
            decay_factor=recipe.decay_factor,
        )

    def run(self, epoch: float, watcher: Watcher | None = None) -> None:
        """Train up to an epoch, validating at whole epochs and at the end.

        Args:
            epoch: the snapshot to reach.
            watcher: is told of steps; of a validation after every 50 steps too, or when it waits
                for one: everything is written down then, and the run may be saved.

        Raises:
            DivergedError: a loss or a gradient is not finite. On the CPU its update has not been
                made.
        """
        watcher, last = watcher or Watcher(), self.step_of(epoch)
        if not self.rows:
            self._validate()
        set_body_mode(self.network, training=True)
        for step in range(self.step + 1, last + 1):
            self._update(step)
            self.step = step
            watcher.after_step(step)
            if self._is_whole(step):
                self._validate()
            if step % _BLOCK_STEPS == 0 or watcher.is_waiting():
                self._settle()
                watcher.after_validation()
        if not self._is_whole(last):
            self._validate()

    @property
    def top1(self) -> float:
        """Validation top-1 at the end."""
        return self.rows[-1].top1

    @property
    def validated_top1(self) -> float | None:
        """Validation top-1 so far."""
        return next((row.top1 for row in reversed(self.rows) if row.split == "val"), None)

    def state(self) -> Saved:
        """All that the training is made of, for :meth:`restore`."""
        tensors = {
            **prefixed("network/", self.network.state_dict()),
            **prefixed("optimiser/", self.moments()),
        }
        return Saved(tensors, {"step": self.step, "rows": self.rows})

    def restore(self, saved: Saved) -> None:
        """Become the training that :meth:`state` described; :meth:`run` goes on from there."""
        self.network.load_state_dict(without_prefix("network/", saved.tensors))
        self.load_moments(without_prefix("optimiser/", saved.tensors))
        notes: dict[str, Any] = saved.notes
        self.step, self.rows = notes["step"], [Learned(*row) for row in notes["rows"]]

    def moments(self) -> dict[str, Tensor]:
        """The optimiser's state by name."""
        return optimiser_tensors(self.optimiser, self.network)

    def load_moments(self, tensors: dict[str, Tensor]) -> None:
        """Put the optimiser's state back."""
        load_optimiser(self.optimiser, self.network, tensors)

    def _is_whole(self, step: int) -> bool:
        return step % self.steps_per_epoch == 0

    def _update(self, step: int) -> None:
        images, labels = self.feed.batch(step)
        self.feed.seed_layers(step)
        logits = self.network(images)
        loss = F.cross_entropy(logits, labels)
        if self._prompt and not math.isfinite(loss.item()):
            raise DivergedError(step)
        loss.backward()
        gradient = spoilt(self._parameters)
        if self._prompt and gradient.item():
            raise DivergedError(step, "a gradient")
        self.optimiser.param_groups[0]["lr"] = self.learning_rate(step)
        self.optimiser.step()
        for parameter in self._parameters:
            parameter.grad = None
        correct = (logits.detach().argmax(1) == labels).sum()
        self._pending += [loss.detach(), gradient, correct]

    def _settle(self) -> None:
        """Write down the steps since the last time."""
        values = torch.stack(self._pending).tolist() if self._pending else []
        self._pending.clear()
        first = self.step - len(values) // 3 + 1
        each = zip(values[::3], values[1::3], values[2::3], strict=True)
        for step, (loss, gradient, correct) in enumerate(each, start=first):
            if not math.isfinite(loss):
                raise DivergedError(step)
            if gradient:
                raise DivergedError(step, "a gradient")
            top1 = correct / self.recipe.batch_size
            self.rows.append(Learned(step / self.steps_per_epoch, step, "train", loss, top1))

    def _validate(self) -> None:
        self._settle()
        self._evaluator.refresh(self.network)
        score = self._evaluator.score(self.task.val)
        if not math.isfinite(score.loss):
            raise DivergedError(self.step)
        if not is_finite(self.network.state_dict().values()):
            raise DivergedError(self.step, "the network's state")
        position = self.step / self.steps_per_epoch
        self.rows.append(Learned(position, self.step, "val", score.loss, score.top1))
