"""What a job asks a cluster for: memory, time, and how long it will probably take.

Derived from the job's own spec: images, image and batch size, network, pack. The time comes from
:class:`fastpipe.estimate.Estimate`, that is, from the pace of earlier jobs in these results. The
memory (MiB, of the host):

    base                    Python, torch and this project's code
    + networks  · parameters · 4 B      weights, gradients, optimiser, copies (`_COPIES`)
    + images    · activations · 4 B     of a forward pass, in training kept and met by gradients
    + arrays                            what the stage holds of a dataset or of features

and a third on top. That is meant to suffice, not to fit: a job that needs more is killed, and tried
again with twice as much, then three times. `tests/test_resources.py` compares with measured peaks.
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from fastpipe.config.backbone_sizes import SIZES, UNKNOWN
from fastpipe.config.plan import Job, Plan
from fastpipe.estimate import Estimate

__all__ = ["Resources", "activations", "parameters"]

_MIB = 2**20
_MARGIN = 4 / 3
_BASE_MIB = {"prepare": 400, "similarity": 500, "scores": 500}
_BASE_TORCH_MIB = 700
"""Measured: 540 (CPU). With CUDA's libraries a GB more."""
_CUDA_MIB = 2000

_COPIES = {"pretrain": 8, "finetune": 8, "deploy": 3, "forgetting": 3, "features": 3}
"""Of the parameters at the same time. In training: weights, gradients, two moments at most, the
start, a state to be written and its bytes, the folded copy that is evaluated."""

_PIXELS_PER_PASS = 2**19
"""Of an evaluation's batch; see :func:`fastpipe.evaluation.inference.images_per_batch`."""

_LONGEST_MINUTES = 24 * 60
"""Asked for where nothing is known about a job's pace."""
_SHORTEST_MINUTES = 5
_SLOWER = 3
"""A node may be so much slower than what was measured, or busy."""


def parameters(backbone: Mapping[str, Any], channels: int) -> int:
    """Parameters of a body, as its spec declares it; for timm's a guess."""
    if backbone["name"] == "small-cnn":
        widths = [channels, *backbone["widths"]]
        return sum(9 * a * b + 2 * b for a, b in itertools.pairwise(widths))
    return int(SIZES.get(backbone["name"], UNKNOWN)[0] * 1e6)


def activations(backbone: Mapping[str, Any], side: int) -> int:
    """Numbers that a forward pass computes for an image of side × side pixels."""
    if backbone["name"] == "small-cnn":
        total, before = 0, 0
        for width in backbone["widths"]:
            side = math.ceil(side / 2) if width > before else side
            before = width
            total += 3 * width * side * side  # convolution, normalisation, ReLU
        return total
    return int(SIZES.get(backbone["name"], UNKNOWN)[1] * 1e6 * (side / 224) ** 2)


class Resources:
    """Resource functions for Snakemake's rules, by stage."""

    def __init__(self, plan: Plan, job: Callable[[str, Any], Job]):
        """`job`: gives the job of a stage for a rule's wildcards."""
        self._plan = plan
        self._job = job
        self._estimate = Estimate(plan)

    def mem_mb(self, stage: str) -> Callable[[Any, int], int]:
        """MiB (as SLURM counts), growing with the attempt."""
        return lambda wildcards, attempt: attempt * self.memory(self._job(stage, wildcards))

    def runtime(self, stage: str) -> Callable[[Any, int], int]:
        """Minutes after which the job may be ended, growing with the attempt."""
        return lambda wildcards, attempt: attempt * self.minutes(self._job(stage, wildcards))

    def seconds(self, stage: str) -> Callable[[Any], int]:
        """Seconds that the job will probably take: how the executor fills its batches."""
        return lambda wildcards: round(self._estimate.seconds(self._job(stage, wildcards)))

    def minutes(self, job: Job) -> int:
        if not self._estimate.knows(job):
            return _LONGEST_MINUTES
        return _SHORTEST_MINUTES + math.ceil(_SLOWER * self._estimate.seconds(job) / 60)

    def memory(self, job: Job) -> int:
        spec = json.loads(job.spec)
        mib = _BASE_MIB.get(job.stage, _BASE_TORCH_MIB)
        if "backbone" in spec:
            mib += self._network(job.stage, spec) / _MIB
        mib += self._arrays(job.stage, spec) / _MIB
        if spec.get("compute", {}).get("device", "cpu") != "cpu":
            mib += _CUDA_MIB
        return math.ceil(mib * _MARGIN / 100) * 100

    def _network(self, stage: str, spec: dict[str, Any]) -> float:
        """Bytes of parameters and activations."""
        side, channels = self._image(spec)
        weights = parameters(spec["backbone"], channels) * _COPIES.get(stage, 3)
        passing = max(1, _PIXELS_PER_PASS // side**2)
        numbers = passing * activations(spec["backbone"], side) / 2  # few live at a time
        training = spec.get("recipe", spec)
        if stage in ("pretrain", "finetune") and "batch_size" in training:
            # the activations, kept for the backward pass, and their gradients
            numbers = max(numbers, 2 * training["batch_size"] * activations(spec["backbone"], side))
        return 4 * (weights + numbers)

    def _arrays(self, stage: str, spec: dict[str, Any]) -> float:
        """Bytes of images and features."""
        name = spec.get("dataset") or spec.get("target")
        if stage == "forgetting":
            name = spec["source_dataset"]
        if not name:
            return 0
        sizes = self._estimate.sizes(name)
        images = sum(filter(None, (sizes.train, sizes.val, sizes.test)))
        dataset = self._plan.config.datasets[name]
        pixels = dataset.size**2 * dataset.channels
        if stage == "prepare":  # as the provider gives them, and as arrays
            return 3 * images * pixels
        if stage in ("features", "scores", "similarity"):
            length = self._feature_length(spec)
            return 4 * 4 * images * length
        return images * pixels  # the memory map's pages that are in use

    def _image(self, spec: dict[str, Any]) -> tuple[int, int]:
        name = spec.get("dataset") or spec.get("target")
        dataset = self._plan.config.datasets[name] if name else None
        return (dataset.size, dataset.channels) if dataset else (224, 3)

    def _feature_length(self, spec: dict[str, Any]) -> int:
        backbone = self._plan.config.sources[spec["source"]].backbone
        return backbone.widths[-1] if backbone and backbone.name == "small-cnn" else 2048
