"""Augmentation: a training step with it, beside the same step without."""

from benchmarks.loop import updates
from benchmarks.networks import network, split, where
from benchmarks.table import Row
from benchmarks.timing import interleaved, ratio
from fastpipe.config.backbone import Backbone
from fastpipe.config.compute import Compute
from fastpipe.models.compute import resolve

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
    resolved = resolve(Compute())
    images = split(IMAGES, size, channels)
    contestants = {
        policy: updates(
            network(backbone, channels, resolved), images, steps, batch_size=BATCH, **fields
        )
        for policy, fields in POLICIES.items()
    }
    seconds = interleaved(contestants, rounds=9)
    plain = seconds.pop("as they are")
    return [
        Row(
            f"augmented / plain step: {name}, {size} px, {policy}",
            1e3 * min(times) / steps,
            1e3 * min(plain) / steps,
            ratio(times, plain),
            "ms/step",
            "≤ 1.25",
            f"batch {BATCH}; {where(resolved.device)}",
        )
        for policy, times in seconds.items()
    ]
