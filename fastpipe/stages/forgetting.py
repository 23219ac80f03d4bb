"""Stage `forgetting`: what the deployed states still know of the source's own task."""

from pathlib import Path

import pyarrow as pa

from fastpipe.errors import UserError
from fastpipe.evaluation.inference import Score
from fastpipe.models.checkpoint import load_tensors
from fastpipe.stages.device_use import INFERENCE, on_device
from fastpipe.stages.job import stage_job
from fastpipe.stages.packs import (
    BodyPasses,
    Deployment,
    PackSpec,
    deployments,
    distinct_states,
    open_state,
    states_progress,
    write_rows,
)
from fastpipe.stages.restoring import class_names, open_snapshot, open_split

__all__ = ["ForgettingSpec", "forgetting"]


class ForgettingSpec(PackSpec):
    """What determines the scores, besides the states, the snapshot and the test images."""

    source_dataset: str
    """Name of the dataset the source was pretrained on."""


def forgetting(
    spec: ForgettingSpec, *, pack: Path, snapshot: Path, dataset: Path, work: Path, identity: str
) -> None:
    """Score deployed bodies, in inference mode, under the head their snapshot was detached from.

    Args:
        spec: see :class:`ForgettingSpec`.
        pack: folder written by `finetune`; gets `forgetting.parquet` (top1_before is the
            snapshot's own top-1, forgotten = top1_before − top1) and the record.
        snapshot: folder of the snapshot the runs started from; its head is used.
        dataset: the source's folder, written by `prepare`.
        work: the `results/.work` folder.
        identity: hash of everything declared that determines the result; goes into the record.

    Raises:
        UserError: an input is missing or damaged, or a state does not fit the network.
    """
    split_record = dataset / "prepare-test.json"
    with (
        stage_job(
            "forgetting",
            pack,
            spec=spec,
            identity=identity,
            work=work,
            reads=[pack / "finetune.json", snapshot / "pretrain.json", split_record],
            packages=["torch", "safetensors", "pyarrow"],
        ) as job,
        on_device(job, spec.compute, INFERENCE) as resolved,
    ):
        found = deployments(job, pack, snapshot, spec)
        network = open_snapshot(job, snapshot, spec.backbone, spec.channels, resolved)
        _check_classes(network.head.out_features, snapshot, split_record)
        split, states = open_split(job, dataset, "test", resolved), distinct_states(found)
        passes = BodyPasses(network, split)
        weights = snapshot / "weights.safetensors"  # verified by open_snapshot
        before = passes.score(load_tensors(weights), weights, network.head)
        scores = {}
        with states_progress(job, spec, len(states), split) as progress:
            for seed, step in states:
                state = open_state(job, pack, seed, step)
                scores[seed, step] = passes.score(*state, network.head)
                progress.advance()
        write_rows(job, "forgetting.parquet", spec, found, _columns(found, scores, before))
        job.state_fact(device=resolved.device.type, precision=resolved.precision)
        job.measure(states=len(scores), passes=passes.passes)


def _check_classes(classes: int, snapshot: Path, split_record: Path) -> None:
    names = class_names(split_record)
    if len(names) != classes:
        raise UserError(
            f"the head of {snapshot} tells {classes} classes apart, but {split_record} has "
            f"{len(names)}. Give the dataset the source was pretrained on."
        )


def _columns(
    found: list[Deployment], scores: dict[tuple[int, int], Score], before: Score
) -> dict[str, pa.Array]:
    rows = [scores[deployment.seed, deployment.deployed_step] for deployment in found]
    return {
        "top1": pa.array([score.top1 for score in rows], pa.float64()),
        "top5": pa.array([score.top5 for score in rows], pa.float64()),
        "top1_before": pa.array([before.top1] * len(rows), pa.float64()),
        "forgotten": pa.array([before.top1 - score.top1 for score in rows], pa.float64()),
    }
