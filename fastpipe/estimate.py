"""What will jobs cost? Seconds by what earlier jobs took, images, and bytes on the disk.

Seconds are calibrated by the timing files in these results: by those of this machine if a stage has
any, else by those of other machines (on a cluster the head node computes nothing), else by first
guesses. How a job's time is made up is told in :mod:`fastpipe.forecast.costs`.
"""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fastpipe.config.classes import class_count
from fastpipe.config.names import RESULTS, Snapshot
from fastpipe.config.plan import Job, Plan
from fastpipe.devices import likely_device
from fastpipe.forecast.costs import Costs, fit_costs
from fastpipe.forecast.networks import network_of
from fastpipe.forecast.past import Timed, network_key, read_past
from fastpipe.forecast.sizes import NotCountedError, Sizes, split_sizes
from fastpipe.forecast.work import Facts, Work, work_of
from fastpipe.training.protocol import deployment_steps

__all__ = ["GPU_STAGES", "Estimate"]

GPU_STAGES = ("pretrain", "features", "finetune", "deploy", "forgetting")
"""Those that compute on a GPU if there is one."""

_ENOUGH = 3
"""Timed jobs of a stage from which a machine's own are enough."""


@dataclass(frozen=True)
class _Known:
    """What is known of a job."""

    work: Work | None
    """None if its images are not counted, or nobody can tell what its network costs."""
    images: int | None
    """None if they are not counted."""
    network: str


class Estimate:
    """Images, seconds and bytes of jobs of a plan."""

    def __init__(self, plan: Plan, results: Path = RESULTS):
        """`results`: the folder whose timings calibrate it; they are read when first needed."""
        self.plan = plan
        self._results = results
        self._sizes: dict[str, Sizes] = {}
        self._known: dict[tuple[str, str], _Known] = {}
        self._costs: dict[str, Costs] = {}
        self._facts = Facts(self.sizes, self._side, self._recipe, self._before)

    def sizes(self, dataset: str) -> Sizes:
        """Images of each split of a dataset."""
        if dataset not in self._sizes:
            self._sizes[dataset] = split_sizes(dataset, self.plan.config.datasets[dataset])
        return self._sizes[dataset]

    def counted(self, dataset: str, counts: Mapping[str, int]) -> None:
        """Take these numbers of images by split for the dataset's: its files were looked at."""
        self._sizes[dataset] = Sizes(**counts)

    def images(self, job: Job) -> int | None:
        """Images that a job passes through the network (or decodes); None if not known yet."""
        return self._look_at(job).images

    def knows(self, job: Job) -> bool:
        """Whether a job can be estimated: its images are counted, its network is known."""
        return self._look_at(job).work is not None

    def seconds(self, job: Job) -> float:
        """Seconds of one core, or of one GPU; of the job's start alone if :meth:`knows` says no."""
        known = self._look_at(job)
        return self.costs(job.stage).seconds(known.work or Work(), known.network)

    def costs(self, stage: str) -> Costs:
        """What the work of a stage costs, and on how many timed jobs that rests."""
        if stage not in self._costs:
            device = self._on(stage)
            own = [job for job in self._past if (job.stage, job.device) == (stage, device)]
            here = [job for job in own if job.host == socket.gethostname()]
            timed = here if len(here) >= _ENOUGH else own
            self._costs[stage] = fit_costs(timed, device)
        return self._costs[stage]

    def was_timed(self, job: Job) -> bool:
        """Whether a job of its stage and network has been timed; if not, `seconds` is rough."""
        return self._timed(job.stage, self._look_at(job).network)

    def bytes(self, job: Job) -> int:
        """Bytes on the disk when a job is done, at most; small files are not counted."""
        count = _BYTES.get(job.stage)
        try:
            return round(count(self, json.loads(job.spec))) if count else 0
        except NotCountedError:
            return 0

    @cached_property
    def device(self) -> str:
        """`cpu` or `cuda`: what jobs that can would compute on, started on this machine."""
        return likely_device(self.plan.config.settings.compute.device)

    def _on(self, stage: str) -> str:
        return self.device if stage in GPU_STAGES else "cpu"

    @cached_property
    def _past(self) -> list[Timed]:
        return read_past(self._results)

    def _look_at(self, job: Job) -> _Known:
        key = (job.stage, job.spec)
        if key not in self._known:
            spec = json.loads(job.spec)
            work, network = work_of(job.stage, spec, self._facts), network_key(spec)
            images = None if work is None else round(work.images)
            # An image that passes through a network costs multiplications, unless it is unknown.
            unknown = bool(images) and "backbone" in spec and not work.tmacs
            if unknown and not self._timed(job.stage, network):
                work = None
            self._known[key] = _Known(work, images, network)
        return self._known[key]

    def _timed(self, stage: str, network: str) -> bool:
        return network in self.costs(stage).factors

    # --- what a declaration leaves open ------------------------------------------------------

    def _side(self, dataset: str) -> int:
        declared = self.plan.config.datasets[dataset]
        return declared.view or declared.size

    def _recipe(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.plan.recipes[spec["variant"]]

    def _before(self, spec: Mapping[str, Any]) -> float:
        before = self.plan.predecessor(Snapshot(spec["source"], spec["epoch"]))
        return before.epoch if before and before.source == spec["source"] else 0.0

    # --- bytes by stage ----------------------------------------------------------------------

    def _prepared(self, spec: Mapping[str, Any]) -> float:
        sizes = self.sizes(spec["dataset"]).counted()
        images = sizes.train + sizes.val + sizes.test
        return images * (spec["size"] ** 2 * spec["channels"] + 8)

    def _snapshot(self, spec: Mapping[str, Any]) -> float:
        classes = self._classes(spec["dataset"]) if spec["dataset"] else 0
        state = self._state(spec, classes)
        return state if spec.get("library") else 2 * state  # and the optimiser's moments

    def _states(self, spec: Mapping[str, Any]) -> float:
        recipe = spec["recipe"]
        deployed = len(deployment_steps(recipe["steps"], recipe["protocol"]))
        return len(spec["seeds"]) * deployed * self._state(spec, self._classes(spec["target"]))

    def _features(self, spec: Mapping[str, Any]) -> float:
        sizes, classes = self.sizes(spec["dataset"]).counted(), self._classes(spec["dataset"])
        network = network_of(spec["backbone"], spec["channels"])
        if network is None:
            return 0
        most = spec["score_images_per_class"]
        images = sizes.train + sizes.val if most is None else 2 * most * classes
        own = self.plan.config.sources[spec["source"]].dataset
        outputs = network.features + (self._classes(own) if own else 1000)
        return 4 * (min(images, sizes.train + sizes.val) * outputs + classes * network.features)

    def _state(self, spec: Mapping[str, Any], classes: int) -> int:
        """Of a network under a head for so many classes, in fp32."""
        network = network_of(spec["backbone"], spec["channels"])
        if network is None:
            return 0
        return 4 * (network.numbers + (network.features + 1) * classes)

    def _classes(self, dataset: str) -> int:
        return class_count(self.plan.config.datasets[dataset]) or 0


_BYTES = {
    "prepare": Estimate._prepared,
    "pretrain": Estimate._snapshot,
    "features": Estimate._features,
    "finetune": Estimate._states,
}
