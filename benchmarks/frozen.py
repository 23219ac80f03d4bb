"""Feature extraction: a whole pack on cached features, beside computing them at every step."""

from collections.abc import Callable

from benchmarks.networks import CLASSES, network, split, wait, where
from benchmarks.table import Row
from benchmarks.timing import interleaved, ratio
from fastpipe.config.backbone import Backbone
from fastpipe.config.compute import Compute
from fastpipe.config.recipe import Recipe
from fastpipe.data.augmentation import Augmentation
from fastpipe.evaluation.inference import Evaluator
from fastpipe.models.compute import resolve
from fastpipe.training.frozen import FrozenFeatures
from fastpipe.training.loop import FineTuning
from fastpipe.training.task import Task

__all__ = ["run"]

IMAGES, VALIDATION, SEEDS, STEPS = 1_400, 72, 5, 200


def run() -> list[Row]:
    """The demo's pack of five seeds on as many images as `digits` has, without and with flips."""
    return [_measure(flip) for flip in (False, True)]


def _measure(flip: bool) -> Row:
    contestants = {"cached": _pack(True, flip), "anew": _pack(False, flip)}
    seconds = interleaved(contestants, rounds=5)
    views = "both views" if flip else "one view"
    return Row(
        f"frozen body / anew: small-cnn, 28 px, {views}",
        min(seconds["cached"]),
        min(seconds["anew"]),
        ratio(seconds["anew"], seconds["cached"]),
        "s/pack",
        "≥ 10",
        f"{SEEDS} seeds, {STEPS} steps, {IMAGES} images, fp32; the caching pass included; "
        + where(resolve(Compute()).device),
    )


def _pack(remember: bool, flip: bool) -> Callable[[], None]:
    resolved = resolve(Compute())
    net = network(Backbone(widths=(16, 32, 64, 64)), 1, resolved)
    train, val = (split(n, 28, 1).to(resolved.device, 2**36) for n in (IMAGES, VALIDATION))
    recipe = Recipe(steps=STEPS, alpha=0.1, beta=0, body_mode="inference", flip=flip)

    def train_pack() -> None:
        evaluator = Evaluator(net)
        frozen = FrozenFeatures(
            net, train, val, augmentation=Augmentation(flip), evaluator=evaluator, remember=remember
        )
        for seed in range(SEEDS):
            task = Task("benchmark", CLASSES, train, val)
            FineTuning(net, recipe, task, seed, evaluator, frozen).run(lambda step, state: None)
        wait(resolved.device)

    return train_pack
