"""What benchmarks of the network share: networks, images, names of places."""

import torch

from fastpipe.config.backbone import Backbone
from fastpipe.data.arrays import Split
from fastpipe.data.streams import generator
from fastpipe.models.compute import Resolved
from fastpipe.models.network import Network, build_network

__all__ = ["CLASSES", "network", "split", "wait", "where"]

CLASSES = 10


def network(backbone: Backbone, channels: int, resolved: Resolved) -> Network:
    """A freshly initialised network on its device."""
    return build_network(
        backbone,
        CLASSES,
        channels=channels,
        mean=[0.4] * channels,
        std=[0.3] * channels,
        body_generator=generator("benchmark", "body"),
        head_generator=generator("benchmark", "head"),
        precision=resolved.precision,
    ).to(resolved.device)


def split(count: int, size: int, channels: int) -> Split:
    """Random images, as many of each class."""
    random = generator("benchmark", "images")
    stored = torch.randint(256, (count, size, size, channels), dtype=torch.uint8, generator=random)
    return Split(stored.permute(0, 3, 1, 2), torch.arange(count) % CLASSES)


def wait(device: torch.device) -> None:
    """Wait until a GPU has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def where(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} thread"
