"""Stage `finetune`: a pack of runs, the same snapshot, target and recipe under several seeds."""

import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from pydantic import Field
from torch import Tensor

from fastpipe.config.backbone import Backbone
from fastpipe.config.compute import Compute
from fastpipe.config.model import Model
from fastpipe.config.recipe import Recipe
from fastpipe.crash import crash_point
from fastpipe.data.streams import generator
from fastpipe.evaluation.inference import Evaluator
from fastpipe.files import digest
from fastpipe.models.backbones import check_size
from fastpipe.models.checkpoint import load_into, load_tensors, save_tensors
from fastpipe.models.compute import Resolved
from fastpipe.models.heads import build_head
from fastpipe.models.network import Network, with_head
from fastpipe.progress import Progress
from fastpipe.stages.device_use import on_device
from fastpipe.stages.job import Job, stage_job
from fastpipe.stages.restoring import blank_network
from fastpipe.stages.tables import write_table
from fastpipe.stages.training_job import PACKAGES, measure_training, open_task, training_records
from fastpipe.stopping import after_the_step
from fastpipe.training.dynamics import Observed
from fastpipe.training.frozen import FrozenFeatures
from fastpipe.training.history import History
from fastpipe.training.loop import FineTuning, batch_size, frozen_features
from fastpipe.training.phases import starts_frozen
from fastpipe.training.resumption import Saver, Saving, StepLog, restored
from fastpipe.training.task import Task

__all__ = ["FinetuneSpec", "finetune"]


class FinetuneSpec(Model):
    """What determines a pack, besides the snapshot and the images."""

    source: str
    """Name of the source."""
    epoch: float
    """The snapshot the runs start from, in epochs."""
    target: str
    """Name of the dataset they are trained on."""
    variant: str
    """Name of the recipe's variant."""
    recipe: Recipe
    """How."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Seeds of the runs; each names W(0), the batches, flips and dropout of one run."""
    channels: int = Field(ge=1)
    """Channels of the images."""
    backbone: Backbone
    """The source's network."""
    compute: Compute
    """Device, precision and threads."""


def finetune(
    spec: FinetuneSpec, *, snapshot: Path, dataset: Path, out: Path, work: Path, identity: str
) -> None:
    """Train the runs of a pack, one after the other.

    Writes to `out` the tables steps, dynamics, validations, deployments, layers and runs (Parquet,
    first columns source, epoch, target, recipe, seed), `states/seed-{s}-step-{t}.safetensors` for
    each distinct state that is deployed (W(1) is in that of step 1), and the record. A run whose
    numbers cease to be finite is `diverged`; the others go on. After a kill, finished runs are not
    repeated and the one under way goes on from its last save, to the same bytes.

    Args:
        spec: see :class:`FinetuneSpec`.
        snapshot: folder written by `pretrain`.
        dataset: the target's folder, written by `prepare`; its test split is never opened.
        out: folder of the pack.
        work: the `results/.work` folder.
        identity: hash of everything declared that determines the result; goes into the record.

    Raises:
        UserError: an input is missing or damaged, does not fit the backbone, or the batch cannot
            be balanced over the classes.
        Stopped: told to stop, after a step that is saved.
    """
    with (
        stage_job(
            "finetune",
            out,
            spec=spec,
            identity=identity,
            work=work,
            reads=[snapshot / "pretrain.json", *training_records(dataset)],
            packages=PACKAGES,
        ) as job,
        on_device(
            job,
            spec.compute,
            f"batches of {spec.recipe.batch_size} images (batch_size of {spec.variant})",
        ) as resolved,
    ):
        task = open_task(job, dataset, spec.target, spec.channels, resolved)
        pack = _Pack(job, spec, task, _snapshot(job, snapshot), resolved)
        with job.progress(
            f"{spec.variant} on {spec.target}",
            len(spec.seeds) * spec.recipe.steps,
            images=batch_size(spec.recipe, task),
            device=resolved.device,
        ) as progress:
            runs = [pack.train(seed, progress) for seed in spec.seeds]
        _write_tables(job, spec, runs, batch_size(spec.recipe, task))
        crash_point("tables-written")
        pack.hand_over(runs)
        job.state_fact(
            device=resolved.device.type, precision=resolved.precision, classes=task.classes
        )
        job.measure(run_seconds={str(run.seed): run.seconds for run in runs})
        measure_training(job, pack.log)


class _Snapshot(NamedTuple):
    tensors: dict[str, Tensor]
    path: Path


def _snapshot(job: Job, folder: Path) -> _Snapshot:
    path = job.input(folder / "pretrain.json", "weights.safetensors")
    return _Snapshot(load_tensors(path), path)


class Layer(NamedTuple):
    """How far the parameters of one module of the body have moved."""

    position: int
    """Place in the network, from the input."""
    layer: str
    parameters: int
    """Their number."""
    distance: float
    """Euclidean distance from the snapshot's."""


@dataclass
class _Run:
    """What becomes of a seed."""

    seed: int
    history: History = field(default_factory=History)
    states: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each state file written, by name."""
    seconds: float = 0.0
    """Time spent on it in all attempts."""
    layers: list[Layer] = field(default_factory=list)
    """How far each layer of the body deployed at the end has moved."""

    @property
    def body_distance(self) -> float:
        """‖θ* − θ_source‖₂ over all parameters of the body."""
        return math.hypot(*(layer.distance for layer in self.layers))

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"history": self.history.as_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "_Run":
        layers = [Layer(*row) for row in value["layers"]]
        history = History.from_json(value["history"])
        return cls(**(value | {"layers": layers, "history": history}))


class _Pack:
    """The runs of a job, and their places in its work folder."""

    def __init__(
        self, job: Job, spec: FinetuneSpec, task: Task, snapshot: _Snapshot, resolved: Resolved
    ):
        self.job, self.spec, self.task, self.snapshot = job, spec, task, snapshot
        self.log = StepLog(job.work / "steps.log")
        self.states = job.work / "states"
        self.network = blank_network(
            spec.backbone,
            spec.channels,
            task.classes,
            head_bias=spec.recipe.head_bias,
            resolved=resolved,
        )
        check_size(self.network.body, spec.backbone.name, spec.channels, task.side)
        self.evaluator = Evaluator(self.network)
        self._frozen: FrozenFeatures | None = None

    def train(self, seed: int, progress: Progress) -> _Run:
        """The run of a seed, unless an earlier attempt finished it."""
        finished = self.job.work / f"seed-{seed}.json"
        position = self.spec.seeds.index(seed) + 1
        self.job.heart.tell(run=[position, len(self.spec.seeds)])
        run = self._finished(finished)
        if run is None:
            with after_the_step():
                run = self._train(seed, progress)
                # Not forced to the disk, which would take 1 % of a short run: if a crash tears
                # the file, it does not parse, and the run is repeated.
                crash_point("run-before-it-is-noted")
                finished.write_text(json.dumps(run.as_json()))
                crash_point("run-noted")
            shutil.rmtree(self._saves(seed))
        progress.skip_to(position * self.spec.recipe.steps)
        return run

    def _train(self, seed: int, progress: Progress) -> _Run:
        network = self._start(seed)
        frozen = self._frozen_features(network)
        training = FineTuning(network, self.spec.recipe, self.task, seed, self.evaluator, frozen)
        saver = Saver(self._saves(seed))
        run = self._resume(training, saver) or _Run(seed)
        before, started = run.seconds, time.monotonic()

        def notes() -> dict[str, Any]:
            run.seconds = before + time.monotonic() - started
            return run.as_json() | {"history": {}}

        def keep(step: int, tensors: dict[str, Tensor]) -> None:
            name = f"seed-{seed}-step-{step}.safetensors"
            save_tensors(self.states / name, tensors)
            run.states[name] = digest(self.states / name)

        done = self.spec.seeds.index(seed) * self.spec.recipe.steps
        progress.skip_to(done + training.step)

        def tell(step: int) -> None:
            progress.reach(done + step, top1=training.history.validations[-1].top1)

        training.run(keep, Saving(training, saver, self.log, seed, notes=notes, tell=tell))
        notes()
        run.history = training.history
        if training.best:
            run.layers = _distances(training.best, self.snapshot.tensors, self.network)
        return run

    def _start(self, seed: int) -> Network:
        """The snapshot's normalisation and body under the head W(0) of a seed."""
        tensors, path = self.snapshot
        load_into(self.network.normalise, tensors, path, prefix="normalise.")
        load_into(self.network.body, tensors, path, prefix="body.")
        recipe = self.spec.recipe
        head = build_head(
            self.network.head.in_features,
            self.task.classes,
            init=recipe.head_init,
            sigma=recipe.head_sigma,
            bias=recipe.head_bias,
            generator=generator("head", self.task.dataset, seed),
        )
        return with_head(self.network, head)

    def _frozen_features(self, network: Network) -> FrozenFeatures | None:
        """Features under the snapshot's body, for all seeds, if runs start with it frozen."""
        recipe = self.spec.recipe
        if self._frozen is None and starts_frozen(recipe):
            self._frozen = frozen_features(network, recipe, self.task, self.evaluator)
        return self._frozen

    def _resume(self, training: FineTuning, saver: Saver) -> _Run | None:
        found = restored(saver)
        if found is None:
            return None
        saved, notes = found
        run = _Run.from_json(notes | {"history": saved.notes})
        if not self._whole(run):
            return None
        training.restore(saved)
        print(f"seed {run.seed} goes on after step {training.step}", flush=True)
        return run

    def _finished(self, record: Path) -> _Run | None:
        try:
            run = _Run.from_json(json.loads(record.read_bytes()))
        except (FileNotFoundError, ValueError):
            return None
        return run if self._whole(run) else None

    def _whole(self, run: _Run) -> bool:
        """Whether all states that an earlier attempt wrote are as it wrote them."""
        paths = {self.states / name: wanted for name, wanted in run.states.items()}
        return all(path.exists() and digest(path) == wanted for path, wanted in paths.items())

    def _saves(self, seed: int) -> Path:
        return self.job.work / f"seed-{seed}"

    def hand_over(self, runs: Sequence[_Run]) -> None:
        """Make the states outputs of the job, and keep them for the case that it is killed now."""
        for name in (name for run in runs for name in run.states):
            _link(self.states / name, self.job.output(f"states/{name}"))


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(file, target)


def _distances(
    state: dict[str, Tensor], source: dict[str, Tensor], network: Network
) -> list[Layer]:
    """How far each module of the body with parameters of its own has moved, in float64."""
    names: dict[str, list[str]] = {}
    for name, _ in network.body.named_parameters():
        names.setdefault(name.rpartition(".")[0], []).append(f"body.{name}")
    found = []
    for position, (layer, parameters) in enumerate(names.items()):
        # A resumed run's tensors may lie otherwise in memory; a sum's order moves its last bit.
        moves = [(state[n].cpu().double() - source[n].double()).contiguous() for n in parameters]
        distance = float(torch.stack([move.square().sum() for move in moves]).sum().sqrt())
        found.append(Layer(position, layer, sum(move.numel() for move in moves), distance))
    return found


_STEPS = {
    "step": pa.int64(),
    "loss": pa.float64(),
    "head_norm": pa.float64(),
    "diverged": pa.bool_(),
}
_DYNAMICS = {"step": pa.int64()} | dict.fromkeys(Observed._fields[1:], pa.float64())
_LAYERS = {
    "position": pa.int64(),
    "layer": pa.string(),
    "parameters": pa.int64(),
    "distance": pa.float64(),
}
_VALIDATIONS = {
    "step": pa.int64(),
    "phase": pa.string(),
    "loss": pa.float64(),
    "top1": pa.float64(),
    "top5": pa.float64(),
    "correct": pa.int64(),
    "images": pa.int64(),
}
_DEPLOYMENTS = {"step": pa.int64(), "deployed_step": pa.int64()}
_RUNS = {
    "steps": pa.int64(),
    "status": pa.string(),
    "diverged_step": pa.int64(),
    "warmup_end_step": pa.int64(),
    "body_distance": pa.float64(),
    "images": pa.int64(),
    "prototype_cosine": pa.float64(),
}


def _write_tables(job: Job, spec: FinetuneSpec, runs: Sequence[_Run], batch: int) -> None:
    tables = {
        "steps": (_STEPS, [run.history.steps for run in runs]),
        "dynamics": (_DYNAMICS, [run.history.dynamics for run in runs]),
        "layers": (_LAYERS, [run.layers for run in runs]),
        "validations": (_VALIDATIONS, [run.history.validations for run in runs]),
        "deployments": (_DEPLOYMENTS, [run.history.deployments for run in runs]),
        "runs": (_RUNS, [[_summary(run, batch)] for run in runs]),
    }
    for name, (columns, rows_by_run) in tables.items():
        rows = [
            (spec.source, spec.epoch, spec.target, spec.variant, run.seed, *row)
            for run, rows in zip(runs, rows_by_run, strict=True)
            for row in rows
        ]
        schema = pa.schema({**_IDENTITY, **columns})
        arrays = [pa.array([row[i] for row in rows], f.type) for i, f in enumerate(schema)]
        table = pa.Table.from_arrays(arrays, schema=schema)
        write_table(job, f"{name}.parquet", table)


_IDENTITY = {
    "source": pa.string(),
    "epoch": pa.float64(),
    "target": pa.string(),
    "recipe": pa.string(),
    "seed": pa.int64(),
}


def _summary(run: _Run, batch: int) -> tuple[Any, ...]:
    history = run.history
    status = "ok" if history.diverged_step is None else "diverged"
    images = history.updates * batch
    ends = (history.diverged_step, history.warmup_end_step)
    cosine = history.prototype_cosine
    return (history.updates, status, *ends, run.body_distance, images, cosine)
