"""What `deploy` and `forgetting` share: the states a pack deploys, each body run once."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import Field
from torch import Tensor, nn

from fastpipe.config.backbone import Backbone
from fastpipe.config.compute import Compute
from fastpipe.config.model import Model
from fastpipe.data.arrays import Split
from fastpipe.errors import UserError
from fastpipe.evaluation.inference import Evaluator, Score
from fastpipe.files import wait_for
from fastpipe.integrity import read_record, verify
from fastpipe.models.checkpoint import load_into, load_tensors
from fastpipe.models.network import Network
from fastpipe.progress import Progress
from fastpipe.stages.job import Job
from fastpipe.stages.tables import write_table

__all__ = [
    "BodyPasses",
    "Deployment",
    "PackSpec",
    "deployments",
    "distinct_states",
    "last_states",
    "open_state",
    "states_progress",
    "write_columns",
    "write_rows",
]


class PackSpec(Model):
    """Which pack, and how its network is computed."""

    source: str
    """Name of the source."""
    epoch: float
    """The snapshot the runs started from, in epochs."""
    target: str
    """Name of the target dataset."""
    variant: str
    """Name of the recipe's variant."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Seeds of the runs."""
    channels: int = Field(ge=1)
    """Channels of the images."""
    backbone: Backbone
    """The source's network."""
    head_bias: bool
    """Whether the runs' heads have a bias."""
    compute: Compute
    """Device, precision and threads."""


class Deployment(NamedTuple):
    """At checkpoint `step` of run `seed`, the state after `deployed_step` is deployed."""

    seed: int
    step: int
    deployed_step: int


def deployments(job: Job, pack: Path, snapshot: Path, spec: PackSpec) -> list[Deployment]:
    """All deployments of a pack, by seed and step.

    Raises:
        UserError: `deployments.parquet` is missing or damaged, belongs to other seeds, or the
            pack was not fine-tuned from `snapshot`.
    """
    record = pack / "finetune.json"
    _check_start(record, snapshot)
    columns = pq.read_table(job.input(record, "deployments.parquet")).to_pydict()
    found = sorted(map(Deployment, *(columns[name] for name in Deployment._fields)))
    seeds = sorted({deployment.seed for deployment in found})
    if seeds != sorted(spec.seeds):
        raise UserError(
            f"{pack} holds the seeds {seeds}, not {sorted(spec.seeds)}. Delete {record} and run "
            "snakemake again to rebuild it."
        )
    return found


def _check_start(record: Path, snapshot: Path) -> None:
    name = "weights.safetensors"
    wait_for([snapshot / "pretrain.json", snapshot / name, record])
    wanted = verify(snapshot / "pretrain.json", [name])[name]
    if wanted not in read_record(record)["inputs"].values():
        raise UserError(
            f"the pack of {record} was not fine-tuned from {snapshot / name} as it is now. "
            f"Delete {record} and run snakemake again to rebuild it."
        )


def open_state(job: Job, pack: Path, seed: int, step: int) -> tuple[dict[str, Tensor], Path]:
    """The tensors of a deployed state, and the file they come from.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = job.input(pack / "finetune.json", f"states/seed-{seed}-step-{step}.safetensors")
    return load_tensors(path), path


def states_progress(job: Job, spec: PackSpec, states: int, split: Split) -> Progress:
    """Progress through the deployed states of a pack, each scored on a split."""
    title = f"{spec.variant} on {spec.target}"
    return job.progress(title, states, "states", images=len(split), device=split.images.device)


class BodyPasses:
    """Scores on one split, with one forward pass for each body that differs from the one before.

    Runs of a pack start from one body, and in feature extraction they also end with it, under
    different heads: so states are best scored in order of their step.

    Args:
        network: of the bodies' architecture; its normalisation and body are overwritten.
        split: the images.
    """

    def __init__(self, network: Network, split: Split):
        self.passes = 0
        """Forward passes over the whole split so far."""
        self._network, self._split = network, split
        self._evaluator = Evaluator(network)
        self._held: dict[str, Tensor] = {}
        self._features = torch.empty(0)

    def score(self, tensors: dict[str, Tensor], path: Path, head: nn.Linear) -> Score:
        """Score of `head` on the normalisation and body among `tensors`; other tensors are ignored.

        Raises:
            UserError: they are the tensors of another backbone; names `path`.
        """
        features = self._features_of(tensors, path)
        return self._evaluator.score_head(features, head.weight, head.bias, self._split.labels)

    def confusion(self, tensors: dict[str, Tensor], path: Path, head: nn.Linear) -> Tensor:
        """How many images of each class `head` takes for which, as :meth:`score` sees them.

        Returns:
            int64 [pairs, 3]: true class, predicted class (-1 where a logit is no number), images;
            in this order, pairs without images left out.

        Raises:
            UserError: as :meth:`score`.
        """
        features = self._features_of(tensors, path)
        predicted = self._evaluator.predict_head(features, head.weight, head.bias)
        pairs = torch.stack([self._split.labels.cpu(), predicted.cpu()], dim=1)
        found, images = pairs.unique(dim=0, return_counts=True)
        return torch.cat([found, images[:, None]], dim=1)

    def _features_of(self, tensors: dict[str, Tensor], path: Path) -> Tensor:
        body = {k: v for k, v in tensors.items() if k.startswith(("normalise.", "body."))}
        if not _same(body, self._held):
            self._run(body, path)
        return self._features

    def _run(self, body: dict[str, Tensor], path: Path) -> None:
        load_into(self._network.normalise, body, path, prefix="normalise.")
        load_into(self._network.body, body, path, prefix="body.")
        self._evaluator.refresh(self._network)
        self._features = self._evaluator.features(self._split)
        self._held = body
        self.passes += 1


def _same(some: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return some.keys() == others.keys() and all(torch.equal(some[k], others[k]) for k in some)


def last_states(found: Iterable[Deployment]) -> dict[int, int]:
    """Seed → step of the state deployed at its last checkpoint."""
    return {d.seed: d.deployed_step for d in sorted(found, key=lambda d: d.step)}


def distinct_states(found: Iterable[Deployment]) -> list[tuple[int, int]]:
    """(seed, step) of each distinct deployed state, by step: equal bodies stand together."""
    states = {(deployment.seed, deployment.deployed_step) for deployment in found}
    return sorted(states, key=lambda state: (state[1], state[0]))


def write_rows(
    job: Job, name: str, spec: PackSpec, found: Sequence[Deployment], columns: dict[str, pa.Array]
) -> None:
    """Write a Parquet file with one row for each deployment: identity, steps, then `columns`."""
    steps = {
        "step": pa.array([d.step for d in found], pa.int64()),
        "deployed_step": pa.array([d.deployed_step for d in found], pa.int64()),
    }
    write_columns(job, name, spec, [d.seed for d in found], steps | columns)


def write_columns(
    job: Job, name: str, spec: PackSpec, seeds: Sequence[int], columns: dict[str, pa.Array]
) -> None:
    """Write a Parquet file with one row for each entry of `seeds`: identity, then `columns`."""
    rows = len(seeds)
    identity = {
        "source": pa.array([spec.source] * rows, pa.string()),
        "epoch": pa.array([spec.epoch] * rows, pa.float64()),
        "target": pa.array([spec.target] * rows, pa.string()),
        "recipe": pa.array([spec.variant] * rows, pa.string()),
        "seed": pa.array(seeds, pa.int64()),
    }
    write_table(job, name, pa.table(identity | columns))
