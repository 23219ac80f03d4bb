"""The sequential executor: one fine-tuning run, plain `nn.Module` and `torch.optim`.

The reference that every other executor must reproduce. Protocol: FAST paper, section 6.2.1.

Symbols: θ body, W head, α and β their rates, M images in a batch, N classes, D features.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from fastpipe.config.recipe import Recipe
from fastpipe.data.batches import BalancedBatches
from fastpipe.evaluation.inference import Evaluator
from fastpipe.models.network import Network, body_parameters, head_parameters, set_body_mode
from fastpipe.training.feed import Feed
from fastpipe.training.history import Deployment, History, Step, Validation
from fastpipe.training.optimisers import build_optimiser
from fastpipe.training.phases import warmup_end
from fastpipe.training.protocol import deployment_steps, validation_steps
from fastpipe.training.resumption import (
    Saved,
    Watcher,
    load_optimiser,
    optimiser_tensors,
    prefixed,
    without_prefix,
)
from fastpipe.training.task import Task

__all__ = ["FineTuning", "Keep", "copy_state"]

Keep = Callable[[int, dict[str, Tensor]], None]
"""Called with a step and the network's state after it, when that state is first deployed."""


class FineTuning:
    """One run, at some step. :meth:`run` takes it to its end.

    Args:
        network: on its device, with the body of the snapshot and the head W(0); trained in place.
        recipe: how.
        task: on what.
        seed: names the batches, flips and dropout.
        evaluator: of the network's architecture, if there is one already.

    Raises:
        UserError: the batch cannot be balanced over the classes.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        task: Task,
        seed: int,
        evaluator: Evaluator | None = None,
    ):
        self.network, self.recipe, self.task = network, recipe, task
        self.device = network.head.weight.device
        self.feed = Feed(
            task.train,
            BalancedBatches(task.train.labels, recipe.batch_size, task.dataset, seed, task.classes),
            task.dataset,
            seed,
            recipe.flip,
            self.device,
        )
        self.optimiser = build_optimiser(
            head_parameters(network),
            body_parameters(network),
            kind=recipe.optimiser,
            alpha=recipe.alpha,
            beta=recipe.beta,
            momentum=recipe.momentum,
            momentum_form=recipe.momentum_form,
            weight_decay=recipe.weight_decay,
        )
        self.history = History()
        self.best: dict[str, Tensor] = {}
        """The network's state after the best validation so far."""
        self._parameters = list(network.parameters())
        self._evaluator = evaluator or Evaluator(network)
        self._pending: list[Tensor] = []
        self._prompt = self.device.type == "cpu"  # there, reading a loss waits for nothing

    @property
    def step(self) -> int:
        """The last step taken and written down."""
        return self.history.steps[-1].step if self.history.steps else 0

    def run(self, keep: Keep, watcher: Watcher | None = None) -> None:
        """Train from the present step to the recipe's last, or until a number is not finite.

        A loss that is not finite stops the run before its update. On a GPU losses are fetched
        in blocks, at validations: the updates in between that should not have been are in no
        deployed state and in no row. After a divergence the remaining checkpoints deploy the best
        state so far, or the initial one if there is none.

        Args:
            keep: receives each distinct state that is deployed, once (again after a resumption).
            watcher: is told of steps and validations.
        """
        watcher = watcher or Watcher()
        total = self.recipe.steps
        validations, checkpoints = set(validation_steps(total)), set(deployment_steps(total))
        if not self.history.deployments:
            self.history.steps.append(Step(0, None, _finite(self._head_norm().item()), False))
            self._deploy(0, keep)
        self._enter_phase()
        for step in range(self.step + 1, total + 1):
            if not self._update(step):
                break
            watcher.after_step(step)
            if step in validations and not self._validate(step):
                break
            if step in checkpoints:
                self._deploy(step, keep)
            if step in validations:
                watcher.after_validation()
        self._settle()
        for checkpoint in sorted(checkpoints):
            if checkpoint > self.history.deployments[-1].step:
                self._deploy(checkpoint, keep)

    def state(self) -> Saved:
        """All that the run is made of, for :meth:`restore`. Call it in `after_validation`."""
        tensors = {
            **prefixed("network/", self.network.state_dict()),
            **prefixed("optimiser/", optimiser_tensors(self.optimiser, self.network)),
            **prefixed("best/", self.best),
        }
        return Saved(tensors, self.history.as_json())

    def restore(self, saved: Saved) -> None:
        """Become the run that :meth:`state` described; :meth:`run` goes on from there."""
        self.network.load_state_dict(without_prefix("network/", saved.tensors))
        moments = without_prefix("optimiser/", saved.tensors)
        load_optimiser(self.optimiser, self.network, moments)
        best = without_prefix("best/", saved.tensors)
        self.best = {name: tensor.to(self.device) for name, tensor in best.items()}
        self.history = History.from_json(saved.notes)

    def _update(self, step: int) -> bool:
        """One optimiser update; False, and no update, if the loss is seen not to be finite."""
        images, labels = self.feed.batch(step)
        self.feed.seed_layers(step)
        loss = F.cross_entropy(self._logits(images), labels)
        finite = not self._prompt or math.isfinite(loss.item())
        if finite and loss.requires_grad:
            loss.backward()
            self.optimiser.step()
            for parameter in self._parameters:
                parameter.grad = None
        self._pending += [loss.detach(), self._head_norm()]
        return finite

    def _logits(self, images: Tensor) -> Tensor:
        """Logits [M, N]; no graph is built for a body that does not move."""
        with torch.set_grad_enabled(self._body_moves):
            features = self.network.features(images)
        return self.network.head(features)

    def _enter_phase(self) -> None:
        """Set what moves, and the body's mode, for the steps to come."""
        recipe, history = self.recipe, self.history
        if recipe.warmup != "none" and history.warmup_end_step is None:
            history.warmup_end_step = warmup_end(
                ((row.step, row.correct) for row in history.validations),
                images=len(self.task.val),
                gain=recipe.warmup_gain,
                patience=recipe.warmup_patience,
            )
        self._warming = recipe.warmup != "none" and history.warmup_end_step is None
        self._body_moves = recipe.beta > 0 and not self._warming
        self.network.body.requires_grad_(self._body_moves)
        self.network.head.requires_grad_(recipe.alpha > 0)
        frozen_statistics = self._warming and recipe.warmup == "frozen-stats"
        training = recipe.body_mode == "train" and not frozen_statistics
        set_body_mode(self.network, training=training)

    def _validate(self, step: int) -> bool:
        """Score the validation split; False if the run turns out to have diverged."""
        self._settle()
        if self.history.diverged_step is not None:
            return False
        self._evaluator.refresh(self.network)
        score = self._evaluator.score(self.task.val)
        if not math.isfinite(score.loss):  # a finite loss, but an update that was not
            self.history.steps[-1] = self.history.steps[-1]._replace(diverged=True)
            self.history.diverged_step = step
            return False
        phase = "warmup" if self._warming else "joint"
        row = Validation(step, phase, score.loss, score.top1, score.correct, score.images)
        self.history.validations.append(row)
        if self.history.best_step == step:
            self.best = copy_state(self.network)
        if self._warming:
            self._enter_phase()
        return True

    def _deploy(self, checkpoint: int, keep: Keep) -> None:
        """Note which state a checkpoint deploys, and hand it over the first time."""
        best = self.history.best_step  # 0 at checkpoint 0, before any validation
        known = {row.deployed_step for row in self.history.deployments}
        self.history.deployments.append(Deployment(checkpoint, best))
        if best not in known:
            keep(best, self.best if checkpoint > 0 else copy_state(self.network))

    def _settle(self) -> None:
        """Write down the steps since the last time, up to the first loss that is not finite."""
        values = torch.stack(self._pending).tolist() if self._pending else []
        self._pending.clear()
        for loss, norm in zip(values[::2], values[1::2], strict=True):
            before = self.history.steps[-1]
            if not math.isfinite(loss):
                self.history.diverged_step = before.step + 1
                self.history.steps.append(Step(before.step + 1, None, before.head_norm, True))
                return
            self.history.steps.append(Step(before.step + 1, loss, _finite(norm), False))

    def _head_norm(self) -> Tensor:
        return torch.linalg.vector_norm(self.network.head.weight.detach())


def copy_state(network: Network) -> dict[str, Tensor]:
    """A copy of all parameters and buffers, on their device."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
