"""What a job asks a cluster for: memory, time, and how long it will probably take.

Derived from the job's own spec: images, image and batch size, network, pack. The time comes from
:class:`fastpipe.estimate.Estimate`, that is, from the pace of earlier jobs in these results. The
memory (MiB, of the host):

    base                    Python, torch and this project's code
    + networks  · parameters · 4 B      weights, gradients, optimiser, copies (`_COPIES`)
    + images    · activations · 4 B     of a forward pass, in training kept and met by gradients;
                                        none if `device` is `cuda`, for these lie on the GPU
    + arrays                            what the stage holds of a dataset or of features

and a third on top. That is meant to suffice, not to fit: a job that needs more is killed, and tried
again with twice as much, then three times.
"""

import json
import math
from collections.abc import Callable
from typing import Any

from fastpipe.config.config import source_channels
from fastpipe.config.plan import Job, Plan
from fastpipe.estimate import Estimate
from fastpipe.forecast.networks import Network, network_of

__all__ = ["Resources"]

_MIB = 2**20
_MARGIN = 4 / 3
_BASE_MIB = {"prepare": 400, "similarity": 500, "scores": 500}
_BASE_TORCH_MIB = 900
"""Measured: 540 for torch alone, 840 for training a tiny network (CPU)."""
_CUDA_MIB = 2000
"""CUDA's libraries take a GB; twice that, as it has not been measured here."""

_COPIES = {"pretrain": 8, "finetune": 8, "deploy": 3, "forgetting": 3, "features": 3}
"""Of the parameters at the same time. In training: weights, gradients, two moments at most, the
start, a state to be written and its bytes, the folded copy that is evaluated."""

_UNKNOWN = Network(90_000_000, features=2048, gmacs=15.0, activations=40_000_000, size=224)
"""Taken for a network that is not in the table (timm's): as large as a base-sized transformer."""

_PIXELS_PER_PASS = 2**19
"""Of an evaluation's batch; see :func:`fastpipe.evaluation.inference.images_per_batch`."""

_LONGEST_MINUTES = 24 * 60
"""Asked for where nothing is known about a job's pace."""
_SHORTEST_MINUTES = 5
_SLOWER = 3
"""A node may be so much slower than what was measured, or busy."""


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
        """MiB."""
        spec = json.loads(job.spec)
        dataset = _dataset(spec)
        mib = _BASE_MIB.get(job.stage, _BASE_TORCH_MIB)
        if "backbone" in spec:
            mib += self._network(job.stage, spec, dataset) / _MIB
        if dataset is not None:
            mib += self._arrays(job.stage, spec, dataset) / _MIB
        if spec.get("compute", {}).get("device", "cpu") != "cpu":
            mib += _CUDA_MIB
        return math.ceil(mib * _MARGIN / 100) * 100

    def _network(self, stage: str, spec: dict[str, Any], dataset: str | None) -> float:
        """Bytes of parameters and activations."""
        network = network_of(spec["backbone"], spec["channels"]) or _UNKNOWN
        weights = 4 * network.numbers * _COPIES.get(stage, 3)
        if spec.get("compute", {}).get("device") == "cuda":
            return weights
        images = self._plan.config.datasets[dataset] if dataset else None
        side = (images.view or images.size) if images else network.size
        an_image = 4 * network.activations_at(side)
        passing = max(1, _PIXELS_PER_PASS // side**2) * an_image / 2  # few live at a time
        training = spec.get("recipe", spec)
        if stage not in ("pretrain", "finetune") or "batch_size" not in training:
            return weights + passing
        # the activations, kept for the backward pass, and their gradients
        return weights + max(passing, 2 * training["batch_size"] * an_image)

    def _arrays(self, stage: str, spec: dict[str, Any], name: str) -> float:
        """Bytes of images and features."""
        sizes, dataset = self._estimate.sizes(name), self._plan.config.datasets[name]
        images = sum(filter(None, (sizes.train, sizes.val, sizes.test)))
        pixels = dataset.size**2 * dataset.channels
        if stage == "prepare":  # as the provider gives them, and as arrays
            return 3 * images * pixels
        if stage == "similarity":  # class means alone
            return 0
        if stage in ("features", "scores"):
            return 4 * 4 * images * self._feature_length(spec)
        return images * pixels  # the memory map's pages that are in use

    def _feature_length(self, spec: dict[str, Any]) -> int:
        source = self._plan.config.sources[spec["source"]]
        channels = source_channels(self._plan.config, source)
        return (network_of(source.backbone.model_dump(), channels) or _UNKNOWN).features


def _dataset(spec: dict[str, Any]) -> str | None:
    """Name of the dataset whose images, or their features, a job reads; None if it reads none."""
    return spec.get("source_dataset") or spec.get("dataset") or spec.get("target")
