"""The sequential executor: one fine-tuning run, plain `nn.Module` and `torch.optim`.

The reference that every other executor must reproduce. Protocols: FAST paper, section 6.2.1
(`anytime`), and hyperparameters paper, section 3.1 (`final`).

Symbols: θ body, W head, α and β their rates, M images in a batch, N classes, D features.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from fastpipe.config.recipe import Recipe
from fastpipe.data.augmentation import Augmentation
from fastpipe.data.batches import BalancedBatches, ShuffledBatches
from fastpipe.errors import UserError
from fastpipe.evaluation.inference import Evaluator, Score
from fastpipe.models.network import Network, body_parameters, head_parameters, set_body_mode
from fastpipe.training.batchnorm import batchnorm_momentum
from fastpipe.training.dynamics import Look, Observed
from fastpipe.training.feed import Batches, Feed
from fastpipe.training.finite import is_finite, spoilt
from fastpipe.training.frozen import FrozenFeatures, head_gradient
from fastpipe.training.history import Deployment, History, Step, Validation
from fastpipe.training.optimisers import build_optimiser, look_ahead, set_rates
from fastpipe.training.phases import warmup_end
from fastpipe.training.protocol import deployment_steps, looked_at_steps, validation_steps
from fastpipe.training.regularisers import pulls
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

__all__ = ["FineTuning", "Keep", "batch_size", "copy_state", "frozen_features"]

Keep = Callable[[int, dict[str, Tensor]], None]
"""Called with a step and the network's state after it, when that state is first deployed."""


class FineTuning:
    """One run, at some step. :meth:`run` takes it to its end.

    Args:
        network: on its device, with the body of the snapshot and the head W(0); trained in place.
            This state is what L2-SP pulls to, and what is deployed if nothing better is.
        recipe: how.
        task: on what.
        seed: names the batches, flips and dropout.
        evaluator: of the network's architecture, if there is one already.
        frozen: features under the network's body, for while it does not move, if they are there.

    Raises:
        UserError: the batch cannot be balanced over the classes, or there is but one image.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        task: Task,
        seed: int,
        evaluator: Evaluator | None = None,
        frozen: FrozenFeatures | None = None,
    ):
        self.network, self.recipe, self.task = network, recipe, task
        self.device = network.head.weight.device
        self.feed = Feed(
            task.train,
            _batches(recipe, task, seed),
            task.dataset,
            seed,
            _augmentation(recipe),
            self.device,
            task.side,
        )
        self.optimiser = build_optimiser(
            head_parameters(network),
            body_parameters(network),
            kind=recipe.optimiser,
            alpha=recipe.alpha,
            beta=recipe.beta,
            momentum=recipe.momentum,
            momentum_form=recipe.momentum_form,
        )
        self.history = History()
        self.best: dict[str, Tensor] = {}
        """The network's state after the best validation so far; under `final` after the last."""
        self._start = copy_state(network)
        names = (name for name, _ in network.body.named_parameters(prefix="body"))
        self._source = [self._start[name] for name in names]
        self._pulls = pulls(network, recipe, self._source)
        self._parameters = list(network.parameters())
        self._evaluator = evaluator or Evaluator(network)
        self._frozen = frozen
        self._pending: list[Tensor] = []
        self._no_fault = torch.zeros((), device=self.device)
        self._looked_at = frozenset(looked_at_steps(recipe.steps, recipe.protocol))
        self._looks: list[tuple[int, Tensor]] = []
        self._prompt = self.device.type == "cpu"  # there, reading a loss waits for nothing

    @property
    def step(self) -> int:
        """The last step taken and written down."""
        return self.history.steps[-1].step if self.history.steps else 0

    def run(self, keep: Keep, watcher: Watcher | None = None) -> None:
        """Train from the present step to the recipe's last, or until a number is not finite.

        A loss or a gradient that is not finite stops the run before its update. On a GPU they are
        fetched in blocks, at validations: the updates in between that should not have been are in
        no deployed state and in no row. After a divergence the remaining checkpoints deploy the
        best state so far, or the initial one if there is none; under `final` always the initial
        one.

        Args:
            keep: receives each distinct state that is deployed, once (again after a resumption).
            watcher: is told of steps and validations.
        """
        with batchnorm_momentum(self.network.body, self.recipe.bn_momentum):
            self._run(keep, watcher or Watcher())

    def _run(self, keep: Keep, watcher: Watcher) -> None:
        total, protocol = self.recipe.steps, self.recipe.protocol
        validations = set(validation_steps(total, protocol))
        checkpoints = set(deployment_steps(total, protocol))
        if not self.history.steps:
            self.history.steps.append(Step(0, None, _finite(self._head_norm().item()), False))
            if 0 in checkpoints:
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
            if step not in validations:
                if not watcher.is_waiting():
                    continue
                self._settle()
                if self.history.diverged_step is not None:
                    break
            watcher.after_validation()
        self._settle()
        passed = {row.step for row in self.history.deployments}
        for checkpoint in sorted(checkpoints - passed):
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
        """One optimiser update; False, and no update, if the loss or a gradient is seen not to be
        finite."""
        features, labels = self._features(step)
        loss, logits = self._loss(features, labels)
        finite = not self._prompt or math.isfinite(loss.item())
        look = None
        if finite and step in self._looked_at:
            look = Look(self.network, features, logits, labels, self._source, self._body_moves)
        gradient = self._no_fault
        if finite and self.optimiser is not None:
            if loss.requires_grad:
                loss.backward()
            if self._body_moves:
                gradient = spoilt(self._parameters)
                finite = not self._prompt or not gradient.item()
            if finite:
                self._descend(step)
        for parameter in self._parameters:
            parameter.grad = None
        if look and finite:
            self._note(step, look)
        self._pending += [loss.detach(), gradient, self._head_norm()]
        return finite

    def _descend(self, step: int) -> None:
        """Move along the gradients, and to where the regularisers pull, at the step's rates."""
        decoupled = self.recipe.decay_form == "decoupled"
        now, before = self._factor(step), self._factor(step - 1)
        set_rates(self.optimiser, now, before, keep_velocity=decoupled)
        rates = {group["name"]: group["lr"] for group in self.optimiser.param_groups}
        ahead = look_ahead(self.optimiser) if decoupled and self._pulls else {}
        for pull in self._pulls:
            if decoupled:  # before the update, of which it knows nothing
                pull.move(rates.get(pull.part, 0.0), ahead)
            else:
                pull.add_gradient()
        self.optimiser.step()

    def _factor(self, step: int) -> float:
        recipe = self.recipe
        return rate_factor(
            step,
            recipe.steps,
            recipe.schedule,
            milestones=recipe.milestones,
            decay_factor=recipe.decay_factor,
        )

    def _loss(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy and logits [M, N]."""
        if self._is_frozen:
            return head_gradient(self.network.head, features, labels)
        logits = self.network.head(features)
        return F.cross_entropy(logits, labels), logits

    def _features(self, step: int) -> tuple[Tensor, Tensor]:
        """Features [M, D] and labels [M] of a step; no graph for a body that does not move."""
        if self._is_frozen:
            return self._frozen.batch(self.feed, step)
        images, labels = self.feed.batch(step)
        self.feed.seed_layers(step)
        with torch.set_grad_enabled(self._body_moves):
            return self.network.features(images), labels

    def _note(self, step: int, look: Look) -> None:
        self._looks.append((step, look.after(self.network)))
        if step == 1:
            cosine = look.prototype_cosine(self.network).item()
            self.history.prototype_cosine = _finite(cosine)

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
        self._is_frozen = not training and not self._body_moves
        if self._is_frozen and self._frozen is None:
            self._frozen = frozen_features(self.network, recipe, self.task, self._evaluator)

    def _validate(self, step: int) -> bool:
        """Score the validation split; False if the run turns out to have diverged."""
        self._settle()
        if self.history.diverged_step is not None:
            return False
        score = self._score()
        moves = self.network.head if self._is_frozen else self.network
        # A finite loss and gradient, but an update that was not, or running statistics.
        if not (math.isfinite(score.loss) and is_finite(moves.state_dict().values())):
            self.history.steps[-1] = self.history.steps[-1]._replace(diverged=True)
            self.history.diverged_step = step
            return False
        phase = "warmup" if self._warming else "joint"
        row = Validation(step, phase, *score[:3], score.correct, score.images)
        self.history.validations.append(row)
        if step == self._deployable(step):
            self.best = copy_state(self.network)
        if self._warming:
            self._enter_phase()
        return True

    def _score(self) -> Score:
        if self._is_frozen:
            head = self.network.head
            bias = None if head.bias is None else head.bias.detach()
            labels = self.task.val.labels
            return self._evaluator.score_head(self._frozen.val, head.weight.detach(), bias, labels)
        self._evaluator.refresh(self.network)
        return self._evaluator.score(self.task.val)

    def _deploy(self, checkpoint: int, keep: Keep) -> None:
        """Note which state a checkpoint deploys, and hand it over the first time."""
        step = self._deployable(checkpoint)
        known = {row.deployed_step for row in self.history.deployments}
        self.history.deployments.append(Deployment(checkpoint, step))
        if step not in known:
            keep(step, self.best if step > 0 else self._start)

    def _deployable(self, checkpoint: int) -> int:
        """The step whose state would be deployed at a checkpoint: 0 is the initial one."""
        if self.recipe.protocol == "anytime":
            return self.history.best_step  # 0 before any validation
        ended = checkpoint == self.recipe.steps and self.history.diverged_step is None
        return checkpoint if ended else 0

    def _settle(self) -> None:
        """Write down the steps since the last time, up to the first loss or gradient that is not
        finite."""
        for step, numbers in self._looks:
            self.history.dynamics.append(Observed(step, *map(_finite, numbers.tolist())))
        self._looks.clear()
        values = torch.stack(self._pending).tolist() if self._pending else []
        self._pending.clear()
        for loss, gradient, norm in zip(values[::3], values[1::3], values[2::3], strict=True):
            before = self.history.steps[-1]
            if gradient or not math.isfinite(loss):
                step = Step(before.step + 1, _finite(loss), before.head_norm, True)
                self.history.diverged_step = step.step
                self.history.steps.append(step)
                return
            self.history.steps.append(Step(before.step + 1, loss, _finite(norm), False))

    def _head_norm(self) -> Tensor:
        return torch.linalg.vector_norm(self.network.head.weight.detach())


def frozen_features(
    network: Network, recipe: Recipe, task: Task, evaluator: Evaluator
) -> FrozenFeatures:
    """Features under a network's body as it is now, for runs of a recipe."""
    seen = task.train.middle(task.side)
    return FrozenFeatures(
        network, seen, task.val, augmentation=_augmentation(recipe), evaluator=evaluator
    )


def batch_size(recipe: Recipe, task: Task) -> int:
    """Images per step: the recipe's, or the whole training split if that is smaller (balanced
    batches repeat images instead)."""
    whole = recipe.batches == "shuffled" and len(task.train) < recipe.batch_size
    return len(task.train) if whole else recipe.batch_size


def _batches(recipe: Recipe, task: Task, seed: int) -> Batches:
    train, size = task.train, batch_size(recipe, task)
    if size < 2:
        raise UserError(
            f"dataset {task.dataset}: its training split is a single image, of which nothing can "
            "be learned (batch normalisation takes two at least). Give it more images."
        )
    if recipe.batches == "shuffled":
        return ShuffledBatches(len(train), size, task.dataset, seed)
    return BalancedBatches(train.labels, size, task.dataset, seed, task.classes)


def _augmentation(recipe: Recipe) -> Augmentation:
    return Augmentation(recipe.flip, recipe.crop, recipe.colour_jitter)


def copy_state(network: Network) -> dict[str, Tensor]:
    """A copy of all parameters and buffers, on their device."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
