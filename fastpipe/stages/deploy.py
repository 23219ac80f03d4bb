"""Stage `deploy`: anytime deployment performance (ADP) on the target's test split.

Of the state deployed at the last checkpoint also which classes it takes for which.
"""

from pathlib import Path

import pyarrow as pa
from torch import Tensor

from fastpipe.evaluation.inference import Score
from fastpipe.models.checkpoint import load_into
from fastpipe.stages.device_use import INFERENCE, on_device
from fastpipe.stages.job import Job, stage_job
from fastpipe.stages.packs import (
    BodyPasses,
    Deployment,
    PackSpec,
    deployments,
    distinct_states,
    last_states,
    open_state,
    states_progress,
    write_columns,
    write_rows,
)
from fastpipe.stages.restoring import blank_network, class_names, open_split

__all__ = ["DeploySpec", "deploy"]


class DeploySpec(PackSpec):
    """What determines the scores, besides the states and the test images."""


def deploy(
    spec: DeploySpec, *, pack: Path, snapshot: Path, dataset: Path, work: Path, identity: str
) -> None:
    """Score each distinct state a pack deploys on the target's test split, once.

    Args:
        spec: see :class:`DeploySpec`.
        pack: folder written by `finetune`; gets `adp.parquet` (top5 is null where there are at
            most five classes), `confusion.parquet` and the record.
        snapshot: folder of the snapshot the runs started from.
        dataset: the target's folder, written by `prepare`.
        work: the `results/.work` folder.
        identity: hash of everything declared that determines the result; goes into the record.

    Raises:
        UserError: an input is missing or damaged, or a state does not fit the network.
    """
    split_record = dataset / "prepare-test.json"
    with (
        stage_job(
            "deploy",
            pack,
            spec=spec,
            identity=identity,
            work=work,
            reads=[pack / "finetune.json", split_record],
            packages=["torch", "safetensors", "pyarrow"],
        ) as job,
        on_device(job, spec.compute, INFERENCE) as resolved,
    ):
        found = deployments(job, pack, snapshot, spec)
        classes = len(class_names(split_record))
        network = blank_network(
            spec.backbone, spec.channels, classes, head_bias=spec.head_bias, resolved=resolved
        )
        split, states = open_split(job, dataset, "test", resolved), distinct_states(found)
        passes = BodyPasses(network, split)
        scores, confusions, last = {}, {}, last_states(found)
        with states_progress(job, spec, len(states), split) as progress:
            for seed, step in states:
                tensors, path = open_state(job, pack, seed, step)
                load_into(network.head, tensors, path, prefix="head.")
                scores[seed, step] = passes.score(tensors, path, network.head)
                if last[seed] == step:
                    confusions[seed] = passes.confusion(tensors, path, network.head)
                progress.advance()
        write_rows(job, "adp.parquet", spec, found, _columns(found, scores))
        _write_confusions(job, spec, dict(sorted(confusions.items())))
        job.state_fact(device=resolved.device.type, precision=resolved.precision)
        job.measure(states=len(scores), passes=passes.passes)


def _columns(found: list[Deployment], scores: dict[tuple[int, int], Score]) -> dict[str, pa.Array]:
    rows = [scores[deployment.seed, deployment.deployed_step] for deployment in found]
    return {
        "loss": pa.array([score.loss for score in rows], pa.float64()),
        "top1": pa.array([score.top1 for score in rows], pa.float64()),
        "top5": pa.array([score.top5 for score in rows], pa.float64()),
        "images": pa.array([score.images for score in rows], pa.int64()),
    }


def _write_confusions(job: Job, spec: DeploySpec, confusions: dict[int, Tensor]) -> None:
    rows = [(seed, *row) for seed, counts in confusions.items() for row in counts.tolist()]
    seeds, *columns = map(list, zip(*rows, strict=True))
    named = zip(("label", "predicted", "images"), columns, strict=True)
    arrays = {name: pa.array(column, pa.int64()) for name, column in named}
    write_columns(job, "confusion.parquet", spec, seeds, arrays)
