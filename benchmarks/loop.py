"""Training: the whole loop beside a bare step, and beside what one would write first."""

import itertools
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.transforms import v2

from benchmarks.networks import CLASSES, network, split, wait, where
from benchmarks.table import Row, print_table
from benchmarks.timing import interleaved, ratio
from fastpipe.config.backbone import Backbone
from fastpipe.config.compute import Compute
from fastpipe.config.recipe import Recipe
from fastpipe.data.arrays import Split
from fastpipe.models.compute import Resolved, resolve
from fastpipe.models.network import Network, set_body_mode
from fastpipe.training.loop import FineTuning
from fastpipe.training.optimisers import build_optimiser
from fastpipe.training.task import Task

__all__ = ["CASES", "IMAGES", "run", "updates"]

CASES = {  # backbone → (configuration, size, channels, batch, steps in a round)
    "small-cnn": (Backbone(widths=(16, 32, 64, 64)), 28, 1, 100, 40),
    "resnet18": (Backbone(name="resnet18"), 64, 3, 50, 3),
}
IMAGES = 2_000


def run() -> list[Row]:
    """Each network at the precision that `auto` chooses here, and at fp32."""
    resolved = resolve(Compute())
    precisions = dict.fromkeys((resolved.precision, "fp32"))
    return [
        row
        for name in CASES
        for precision in precisions
        for row in _measure(name, Resolved(resolved.device, precision))
    ]


def _measure(name: str, resolved: Resolved) -> list[Row]:
    backbone, size, channels, batch, steps = CASES[name]
    images = split(IMAGES, size, channels)
    contestants = {
        "ours": updates(
            network(backbone, channels, resolved), images, steps, batch_size=batch, flip=True
        ),
        "bare": _bare(network(backbone, channels, resolved), images, batch, steps),
        "tensors": _tensor_loader(network(backbone, channels, resolved), images, batch, steps),
        "pictures": _picture_loader(network(backbone, channels, resolved), images, batch, steps),
    }
    seconds = interleaved(contestants, rounds=7)
    milliseconds = {who: 1e3 * statistics.median(t) / steps for who, t in seconds.items()}
    what = f"{name}, {size} px, batch {batch}, {resolved.precision}"
    notes = {
        "bare": ("≥ 0.95", "forward, backward, step on one resident normalised batch"),
        "tensors": ("", "same training fed by DataLoader(TensorDataset)"),
        "pictures": ("", "same training fed by PIL images and torchvision transforms"),
    }
    return [
        Row(
            f"loop / {who}: {what}",
            milliseconds["ours"],
            milliseconds[who],
            ratio(seconds[who], seconds["ours"]),
            "ms/step",
            aim,
            f"{note}; {where(resolved.device)}",
        )
        for who, (aim, note) in notes.items()
    ]


def updates(net: Network, images: Split, steps: int, **fields: Any) -> Callable[[], None]:
    """So many steps as `finetune` takes them (gather, augment, normalise, step, metrics), less
    validation.

    Args:
        fields: of the recipe, `batch_size` for instance; without others, α = β = 0.01.
    """
    recipe = Recipe(**{"steps": 10**6, "alpha": 0.01, "beta": 0.01} | fields)
    device = net.head.weight.device
    resident = images.to(device, 2**36)
    training = FineTuning(net, recipe, Task("benchmark", CLASSES, resident, resident), seed=0)
    training._enter_phase()
    taken = iter(range(1, 10**6))

    def loop() -> None:
        for _ in range(steps):
            training._update(next(taken))
        training._pending.clear()
        wait(device)

    return loop


def _step(net: Network) -> Callable[[Callable[[], torch.Tensor], torch.Tensor], None]:
    """Forward, backward and update, from normalised inputs."""
    set_body_mode(net, training=True)
    body, head = net.body.parameters(), net.head.parameters()
    optimiser = build_optimiser(head, body, kind="sgd", alpha=0.01, beta=0.01)
    device = net.head.weight.device.type
    bf16 = net.precision == "bf16"

    def step(inputs: torch.Tensor, labels: torch.Tensor) -> None:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            features = net.body(inputs)
        F.cross_entropy(net.head(features.float()), labels).backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def _bare(net: Network, images: Split, batch: int, steps: int) -> Callable[[], None]:
    device, step = net.head.weight.device, _step(net)
    inputs = net.normalise(images.images[:batch].to(device)).detach()
    labels = images.labels[:batch].to(device)

    def loop() -> None:
        for _ in range(steps):
            step(inputs, labels)
        wait(device)

    return loop


def _fed_by(net: Network, loader: DataLoader, steps: int) -> Callable[[], None]:
    device, step = net.head.weight.device, _step(net)

    def loop() -> None:
        total = torch.zeros((), device=device)
        passes = itertools.chain.from_iterable(itertools.repeat(loader))
        for inputs, labels in itertools.islice(passes, steps):
            inputs = inputs.to(device, memory_format=torch.channels_last)
            step(inputs, labels.to(device))
            total += torch.linalg.vector_norm(net.head.weight.detach())
        wait(device)

    return loop


def _tensor_loader(net: Network, images: Split, batch: int, steps: int) -> Callable[[], None]:
    floats = net.normalise(images.images.to(net.head.weight.device)).cpu()
    loader = DataLoader(TensorDataset(floats, images.labels), batch, shuffle=True)
    return _fed_by(net, loader, steps)


class _Pictures(Dataset):
    """PIL images through torchvision transforms, one by one."""

    def __init__(self, images: Split):
        self.pictures = [v2.functional.to_pil_image(image) for image in images.images]
        self.labels = images.labels
        channels = images.images.shape[1]
        self.transform = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.4] * channels, [0.3] * channels),
            ]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.transform(self.pictures[index]), self.labels[index]


def _picture_loader(net: Network, images: Split, batch: int, steps: int) -> Callable[[], None]:
    return _fed_by(net, DataLoader(_Pictures(images), batch, shuffle=True), steps)


if __name__ == "__main__":
    print_table(run())
