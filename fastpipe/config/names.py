"""Names of snapshots, variants, packs and studies, and the folders that they determine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "DOWNLOADS",
    "RESULTS",
    "STAGES",
    "WORK",
    "Pack",
    "Snapshot",
    "dataset_folder",
    "features_folder",
    "number_name",
    "pack_folder",
    "similarity_folder",
    "snapshot_folder",
    "study_folder",
    "variant_name",
]

STAGES = (
    *("prepare", "pretrain", "features", "similarity", "scores"),
    *("finetune", "deploy", "forgetting", "collect", "report"),
)
"""The stages, inputs before their users. One stage = one rule = one subcommand = one function."""

RESULTS = Path("results")
"""What the graph writes, relative to the working directory."""

WORK = RESULTS / ".work"
"""Work folders and locks of running stages."""

DOWNLOADS = "FASTPIPE_DOWNLOADS"
"""Environment variable by which the Snakefile tells jobs `settings.downloads`: where the copies lie
is no part of any rule."""


Named = bool | int | float | str | tuple["Named", ...]
"""Values of a recipe's fields."""


def number_name(value: Named) -> str:
    """A value as it appears in names: the shortest text that gives it back (`0.1`, `1e-08`).

    Several are divided by commas (`0.5,0.9`).
    """
    if isinstance(value, tuple):
        return ",".join(map(number_name, value))
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


@dataclass(frozen=True, order=True)
class Snapshot:
    """A source at one pretraining epoch, written `source@epoch`."""

    source: str
    epoch: float

    def __str__(self) -> str:
        return f"{self.source}@{number_name(float(self.epoch))}"


@dataclass(frozen=True, order=True)
class Pack:
    """The runs that one job trains: one snapshot, target and variant, seeds `first` to `last`."""

    snapshot: Snapshot
    target: str
    variant: str
    first: int
    last: int

    @property
    def seeds(self) -> list[int]:
        return list(range(self.first, self.last + 1))


def variant_name(recipe: str, changes: Mapping[str, Named]) -> str:
    """`recipe+field=value+…`, fields in alphabetical order; `recipe` itself if nothing changes."""
    return "+".join([recipe, *(f"{key}={number_name(changes[key])}" for key in sorted(changes))])


def dataset_folder(dataset: str) -> Path:
    return RESULTS / "datasets" / dataset


def snapshot_folder(snapshot: Snapshot) -> Path:
    return RESULTS / "sources" / snapshot.source / f"epoch-{number_name(float(snapshot.epoch))}"


def features_folder(snapshot: Snapshot, dataset: str) -> Path:
    return RESULTS / "features" / str(snapshot) / dataset


def similarity_folder(snapshot: Snapshot, target: str, extractor: Snapshot | None = None) -> Path:
    """Of a source's dataset and a target: in the snapshot's own features, or in an extractor's."""
    own = RESULTS / "similarity" / str(snapshot) / target
    return own if extractor in (None, snapshot) else own / str(extractor)


def pack_folder(pack: Pack) -> Path:
    block = f"seeds-{pack.first}-{pack.last}"
    return RESULTS / "runs" / str(pack.snapshot) / pack.target / pack.variant / block


def study_folder(study: str) -> Path:
    return RESULTS / "studies" / study
