"""Stage `pretrain`: one snapshot of a source, continuing from the snapshot before."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import Field

from fastpipe.config.backbone import Backbone
from fastpipe.config.compute import Compute
from fastpipe.config.source import Pretraining
from fastpipe.data.streams import generator
from fastpipe.errors import UserError
from fastpipe.integrity import read_record
from fastpipe.models.checkpoint import load_into, load_tensors, save_tensors
from fastpipe.models.compute import Resolved
from fastpipe.models.network import Network, build_network
from fastpipe.stages.device_use import on_device
from fastpipe.stages.job import Job, stage_job
from fastpipe.stages.restoring import blank_network
from fastpipe.stages.tables import write_table
from fastpipe.stages.training_job import PACKAGES, measure_training, open_task, training_records
from fastpipe.stopping import after_the_step
from fastpipe.training.pretraining import DivergedError, Learned, SourceTraining
from fastpipe.training.resumption import Saver, Saving, StepLog, restored
from fastpipe.training.task import Task

__all__ = ["PretrainSpec", "pretrain"]


class PretrainSpec(Pretraining):
    """What determines a snapshot, besides the images and the snapshot of another source."""

    source: str
    """Name of the source."""
    epoch: float = Field(ge=0)
    """Where on its way to stop, in epochs; 0 is the initialisation."""
    dataset: str
    """Name of the dataset it is trained on."""
    channels: int = Field(ge=1)
    """Channels of the images."""
    backbone: Backbone
    """The network."""
    start: str | None = None
    """Another source's snapshot `source@epoch` whose body it starts from."""
    compute: Compute
    """Device, precision and threads."""


def pretrain(
    spec: PretrainSpec,
    *,
    dataset: Path,
    start: Path | None,
    out: Path,
    work: Path,
    identity: str,
) -> None:
    """Train a source up to one snapshot.

    Writes to `out` `weights.safetensors` (normalise.*, body.*, head.*), `training.safetensors`
    (the optimiser's state and `step`), `history.parquet` (source, epoch, step, split, loss, top1
    from the very beginning: a `train` row for each step, a `val` row at each whole epoch and at
    this snapshot) and the record. None of their bytes depends on the snapshots in between.

    Args:
        spec: see :class:`PretrainSpec`.
        dataset: folder written by `prepare`.
        start: folder of an earlier snapshot of this source, to continue from, or of a snapshot of
            another source, whose normalisation and body are taken over under a new head; None:
            random initialisation.
        out: folder of the snapshot.
        work: the `results/.work` folder.
        identity: hash of everything declared that determines the result; goes into the record.

    Raises:
        UserError: an input is missing or damaged, does not fit the backbone, `start` lies beyond
            `epoch`, or the loss ceases to be finite.
        Stopped: told to stop, after a step that is saved.
    """
    reads = training_records(dataset) + ([start / "pretrain.json"] if start else [])
    with (
        stage_job(
            "pretrain",
            out,
            spec=spec,
            identity=identity,
            work=work,
            reads=reads,
            packages=PACKAGES,
        ) as job,
        on_device(
            job, spec.compute, f"batches of {spec.batch_size} images (batch_size of {spec.source})"
        ) as resolved,
    ):
        task = open_task(job, dataset, spec.dataset, spec.channels, resolved)
        training = _beginning(job, spec, task, dataset, start, resolved)
        log = _train(job, spec, training)
        _write(job, spec, training)
        job.state_fact(
            device=resolved.device.type,
            precision=resolved.precision,
            classes=task.classes,
            features=training.network.head.in_features,
            steps=training.step,
            val_top1=training.top1,
        )
        measure_training(job, log)


def _beginning(
    job: Job,
    spec: PretrainSpec,
    task: Task,
    dataset: Path,
    start: Path | None,
    resolved: Resolved,
) -> SourceTraining:
    """The training to go on with: from a snapshot of this source, or from its first step."""
    if start is not None and read_record(start / "pretrain.json")["spec"]["source"] == spec.source:
        return _continued(job, spec, task, start, resolved)
    network = _initialised(spec, task, read_record(dataset / "prepare-train.json")["facts"])
    if start is not None:
        path = job.input(start / "pretrain.json", "weights.safetensors")
        tensors = load_tensors(path)
        load_into(network.normalise, tensors, path, prefix="normalise.")
        load_into(network.body, tensors, path, prefix="body.")
    network.precision = resolved.precision
    return SourceTraining(network.to(resolved.device), spec, task)


def _initialised(spec: PretrainSpec, task: Task, facts: dict[str, Any]) -> Network:
    """A network at random, normalising by the mean and deviation of the training images."""
    if min(facts["std"]) <= 0:
        raise UserError(
            f"all training images of dataset {spec.dataset} are the same in one channel "
            f"(standard deviation {facts['std']}). There is nothing to learn from; check its files."
        )
    return build_network(
        spec.backbone,
        task.classes,
        channels=spec.channels,
        size=task.side,
        mean=facts["mean"],
        std=facts["std"],
        body_generator=generator("body", spec.dataset, spec.seed),
        head_generator=generator("head", spec.dataset, spec.seed),
        head_init=spec.head_init,
        head_sigma=spec.head_sigma,
        head_bias=spec.head_bias,
    )


def _continued(
    job: Job, spec: PretrainSpec, task: Task, before: Path, resolved: Resolved
) -> SourceTraining:
    """The training as an earlier snapshot of this source left it."""
    record = before / "pretrain.json"
    names = ("weights.safetensors", "training.safetensors", "history.parquet")
    # Not in the record: another way to the same bytes is the same snapshot.
    weights, state, history = (job.input(record, name, recorded=False) for name in names)
    network = blank_network(
        spec.backbone, spec.channels, task.classes, head_bias=spec.head_bias, resolved=resolved
    )
    load_into(network, load_tensors(weights), weights)
    moments = load_tensors(state)
    step = int(moments.pop("step"))
    columns = pq.read_table(history).select(Learned._fields).to_pydict()
    rows = [Learned(*row) for row in zip(*columns.values(), strict=True)]
    training = SourceTraining(network, spec, task, step, rows)
    training.load_moments(moments)
    if step > training.step_of(spec.epoch):
        raise UserError(
            f"{before} is at step {step}, beyond epoch {spec.epoch:g} of source {spec.source}. "
            "Continue from an earlier snapshot."
        )
    return training


def _train(job: Job, spec: PretrainSpec, training: SourceTraining) -> StepLog:
    """Go to the snapshot, from where an earlier attempt was saved if there is one."""
    saver, log = Saver(job.work / "saves"), StepLog(job.work / "steps.log")
    if found := restored(saver):
        training.restore(found[0])
        print(f"goes on after step {training.step}", flush=True)
    last = training.step_of(spec.epoch)
    try:
        with job.progress(
            f"{spec.source} to epoch {spec.epoch:g}",
            last,
            images=spec.batch_size,
            device=training.network.head.weight.device,
        ) as progress:
            progress.skip_to(training.step)

            def tell(step: int) -> None:
                progress.reach(step, top1=training.validated_top1)

            watcher = Saving(training, saver, log, spec.source, tell=tell)
            with after_the_step():
                training.run(spec.epoch, watcher)
    except DivergedError as error:
        raise UserError(
            f"pretraining of source {spec.source} diverged: {error}. Use a smaller lr than "
            f"{spec.lr:g}."
        ) from None
    return log


def _write(job: Job, spec: PretrainSpec, training: SourceTraining) -> None:
    save_tensors(job.output("weights.safetensors"), training.network.state_dict())
    state = training.moments() | {"step": torch.tensor(training.step)}
    save_tensors(job.output("training.safetensors"), state)
    epochs, steps, splits, losses, top1s = zip(*training.rows, strict=True)
    history = {
        "source": pa.array([spec.source] * len(steps), pa.string()),
        "epoch": pa.array(epochs, pa.float64()),
        "step": pa.array(steps, pa.int64()),
        "split": pa.array(splits, pa.string()),
        "loss": pa.array(losses, pa.float64()),
        "top1": pa.array(top1s, pa.float64()),
    }
    write_table(job, "history.parquet", pa.table(history))
