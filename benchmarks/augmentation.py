"""Augmentation: a training step with it, beside the same step without."""

from collections.abc import Callable

from benchmarks.networks import CLASSES, network, split, wait, where
from benchmarks.table import Row
from benchmarks.timing import interleaved, ratio
from fastpipe.config.backbone import Backbone
from fastpipe.config.compute import Compute
from fastpipe.config.recipe import Recipe
from fastpipe.models.compute import resolve
from fastpipe.training.loop import FineTuning
from fastpipe.training.task import Task

__all__ = ["run"]

CASES = {  # backbone → (configuration, size, channels, steps in a round)
    "small-cnn": (Backbone(widths=(16, 32, 64)), 28, 1, 40),
    "resnet18": (Backbone(name="resnet18"), 64, 3, 3),
}
POLICIES = {
    "as they are": {},
    "flip": {"flip": True},
    "random crop": {"flip": True, "crop": "random"},
    "resized crop, colours": {"flip": True, "crop": "resized", "colour_jitter": 0.4},
}
BATCH, IMAGES = 50, 1_000


def run() -> list[Row]:
    """Each policy of the hyperparameters paper (appendix E), and flips alone."""
    return [row for name in CASES for row in _measure(name)]


def _measure(name: str) -> list[Row]:
    backbone, size, channels, steps = CASES[name]
    contestants = {
        policy: _steps(backbone, size, channels, steps, fields)
        for policy, fields in POLICIES.items()
    }
    seconds = interleaved(contestants, rounds=9)
    plain = seconds.pop("as they are")
    device = where(resolve(Compute()).device)
    return [
        Row(
            f"augmented / plain step: {name}, {size} px, {policy}",
            1e3 * min(times) / steps,
            1e3 * min(plain) / steps,
            ratio(times, plain),
            "ms/step",
            "≤ 1.25",
            f"batch {BATCH}; {device}",
        )
        for policy, times in seconds.items()
    ]


def _steps(
    backbone: Backbone, size: int, channels: int, steps: int, fields: dict[str, object]
) -> Callable[[], None]:
    resolved = resolve(Compute())
    net = network(backbone, channels, resolved)
    images = split(IMAGES, size, channels).to(resolved.device, 2**36)
    recipe = Recipe(steps=10**6, batch_size=BATCH, alpha=1e-3, beta=1e-3, **fields)
    training = FineTuning(net, recipe, Task("benchmark", CLASSES, images, images), seed=0)
    training._enter_phase()
    taken = iter(range(1, 10**6))

    def loop() -> None:
        for _ in range(steps):
            training._update(next(taken))
        training._pending.clear()
        wait(resolved.device)

    return loop
