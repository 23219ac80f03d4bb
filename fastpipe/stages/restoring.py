"""Networks and splits brought back from the files of earlier stages, each file verified first."""

from pathlib import Path

import torch

from fastpipe.config.backbone import Backbone
from fastpipe.data.arrays import Split, load_split
from fastpipe.data.streams import generator
from fastpipe.errors import UserError
from fastpipe.integrity import read_record
from fastpipe.models.blank import WithoutDrawing
from fastpipe.models.checkpoint import load_into, load_tensors
from fastpipe.models.compute import Resolved
from fastpipe.models.network import Network, build_network
from fastpipe.stages.job import Job

__all__ = ["blank_network", "class_names", "open_snapshot", "open_split"]


def open_snapshot(
    job: Job, snapshot: Path, backbone: Backbone, channels: int, resolved: Resolved
) -> Network:
    """The network of a snapshot, with its normalisation and head, on the device.

    Raises:
        UserError: the file is missing or damaged, or is the checkpoint of another backbone.
    """
    path = job.input(snapshot / "pretrain.json", "weights.safetensors")
    tensors = load_tensors(path)
    head = tensors.get("head.weight", torch.empty(1, 1))  # if there is none, load_into says so
    network = blank_network(
        backbone, channels, len(head), head_bias="head.bias" in tensors, resolved=resolved
    )
    load_into(network, tensors, path)
    return network


def blank_network(
    backbone: Backbone, channels: int, classes: int, *, head_bias: bool, resolved: Resolved
) -> Network:
    """A network on the device whose tensors mean nothing until some are loaded into it."""
    with WithoutDrawing():
        network = build_network(
            backbone,
            classes,
            channels=channels,
            mean=[0.0] * channels,
            std=[1.0] * channels,
            body_generator=generator("overwritten"),
            head_generator=generator("overwritten"),
            head_bias=head_bias,
            precision=resolved.precision,
        )
    return network.to(resolved.device)


def open_split(job: Job, dataset: Path, split: str, resolved: Resolved) -> Split:
    """A prepared split; on a GPU with its images resident if they fit half of the free memory.

    Raises:
        UserError: a file is missing or damaged.
    """
    record = dataset / f"prepare-{split}.json"
    for part in ("images", "labels"):
        job.input(record, f"{split}-{part}.npy")
    budget = 0
    if resolved.device.type == "cuda":
        budget = torch.cuda.mem_get_info(resolved.device)[0] // 2
    return load_split(dataset, split).to(resolved.device, budget)


def class_names(record: Path) -> list[str]:
    """Names of a dataset's classes, from the record of one of its splits.

    Raises:
        UserError: the record is missing, damaged or names no classes.
    """
    try:
        return list(read_record(record)["facts"]["classes"])
    except (KeyError, TypeError):
        raise UserError(
            f"{record} names no classes. Delete it and run snakemake again to rebuild it."
        ) from None
