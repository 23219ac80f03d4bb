"""Similarity and scores of a user's images, by the stages that measure them for studies.

Results land in the results tree under the identities that the graph would give them, so nothing is
computed twice.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fastpipe.audit import State, audit
from fastpipe.config.config import Config
from fastpipe.config.dataset import Dataset, FolderProvider
from fastpipe.config.names import WORK, Snapshot, dataset_folder, features_folder, snapshot_folder
from fastpipe.config.plan import Job, Plan
from fastpipe.devices import SLOTS
from fastpipe.errors import UserError

__all__ = ["Measured", "measure", "preparation", "with_folder"]

Progress = Callable[[str], None]

PREPARED = ("size", "channels", "aspect", "view", "margin")
"""Fields of a dataset that say what an image becomes. Not `transforms`: a source trained on images
turned upside down is not to be shown the user's upside down."""


class Measured(NamedTuple):
    """What features tell of a target."""

    similarity: float
    """exp(−γ d)."""
    scores: dict[str, float]
    """Scores of transferability, by name; larger is better."""


def with_folder(
    config: Config, source: str, images: Path, skip_corrupt: bool = False
) -> tuple[Config, str]:
    """The configuration with a dataset entry for a folder of images, and the entry's name.

    Images are prepared as the source's own were (`PREPARED`); unreadable ones stop the
    preparation, or are left out with `skip_corrupt`.

    Raises:
        UserError: the folder does not exist or has no folders of classes.
    """
    folder = images.expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"{images} is no folder. Give a folder with one subfolder for each class.")
    if not any(one.is_dir() and not one.name.startswith(".") for one in folder.iterdir()):
        raise UserError(f"{images} is empty of classes: it needs one subfolder for each class.")
    own = config.datasets[config.sources[source].dataset]
    entry = Dataset(
        providers=(FolderProvider(kind="folder", path=str(folder)),),
        skip_corrupt=skip_corrupt,
        **{name: getattr(own, name) for name in PREPARED},
    )
    name = f"advise-{hashlib.sha256(entry.model_dump_json().encode()).hexdigest()[:12]}"
    return dataclasses.replace(config, datasets=config.datasets | {name: entry}), name


def preparation(config: Config, dataset: str, source: str | None) -> str:
    """How images are prepared, in a line or two.

    Args:
        config: the configuration.
        dataset: name of the dataset.
        source: whose own images theirs are prepared like; None for a declared dataset.
    """
    own = config.datasets[dataset]
    colour = "grey" if own.channels == 1 else "colour"
    view = f", of which networks see {own.view}" if own.view else ""
    said = (
        f"Images are prepared as {own.size} × {own.size} pixels{view}, {colour}, aspect "
        f"{own.aspect}, margin {own.margin}"
    )
    if source is None:
        return f"{said}, as {dataset} is declared."
    return (
        f"{said}, as those of {source}.\n"
        "If that does not suit yours, declare them as a dataset and give its name with --dataset."
    )


def measure(
    plan: Plan, snapshot: Snapshot, target: str, study: str, downloads: Path, progress: Progress
) -> Measured:
    """Similarity of a target to a snapshot's own dataset, and scores, in the snapshot's features.

    Args:
        plan: its configuration has the target.
        snapshot: of a source whose study has been run.
        target: name of the dataset.
        study: the study that made the snapshot, for messages.
        downloads: cache of downloaded files.
        progress: told what is being done.

    Raises:
        UserError: what the study should have made is not there or out of date, or the images
            cannot be used.
    """
    import pyarrow.parquet as pq

    os.environ[SLOTS] = str(plan.config.settings.gpu_slots)  # as the Snakefile does
    source = plan.config.sources[snapshot.source]
    if plan.config.datasets[target].channels != plan.config.datasets[source.dataset].channels:
        raise UserError(
            f"{target} and {source.dataset}, the dataset of {snapshot.source}, differ in "
            "`channels`. Declare the target with the source's."
        )
    own = plan.features(snapshot, source.dataset)
    given = [plan.pretrain(snapshot), own]
    asked = [plan.prepare(target), plan.features(snapshot, target)]
    asked += [plan.similarity(snapshot, target, snapshot), plan.scores(snapshot, target)]
    found = audit([plan.prepare(source.dataset), *given, *asked])
    found.refuse_damage()
    for job in given:
        if found.state(job) is not State.CURRENT:
            raise UserError(
                f"{job.folder} is {found.state(job).value}: settings or code have changed since "
                f"{study} was run. Run snakemake {study} again."
            )
    for job in asked:
        if found.state(job) is State.CURRENT:
            progress(f"{job.stage}: done before")
        else:
            progress(f"{job.stage} …")
            _run(job, snapshot, source.dataset, target, downloads)
    *_, similarity, scores = asked
    alike = pq.read_table(similarity.folder / "similarity.parquet", columns=["similarity"])
    table = pq.read_table(scores.folder / "scores.parquet").to_pylist()
    return Measured(
        float(alike["similarity"][0].as_py()), {row["score"]: row["value"] for row in table}
    )


def _run(job: Job, snapshot: Snapshot, own: str, target: str, downloads: Path) -> None:
    """One job in this process, as the command line would run it."""
    common = {"out": job.folder, "work": WORK}
    if job.stage == "prepare":
        from fastpipe.stages.prepare import PrepareSpec, prepare

        identity = {
            name.removeprefix("prepare-").removesuffix(".json"): value
            for name, value in job.identities
        }
        spec = PrepareSpec.model_validate_json(job.spec)
        prepare(spec, downloads=downloads, identity=identity, **common)
    elif job.stage == "features":
        from fastpipe.stages.features import FeaturesSpec, features

        features(
            FeaturesSpec.model_validate_json(job.spec),
            snapshot=snapshot_folder(snapshot),
            dataset=dataset_folder(target),
            identity=job.identity,
            **common,
        )
    elif job.stage == "scores":
        from fastpipe.stages.scores import ScoresSpec, scores

        scores(
            ScoresSpec.model_validate_json(job.spec),
            features=features_folder(snapshot, target),
            identity=job.identity,
            **common,
        )
    else:
        from fastpipe.stages.similarity import SimilaritySpec, similarity

        similarity(
            SimilaritySpec.model_validate_json(job.spec),
            source_features=features_folder(snapshot, own),
            target_features=features_folder(snapshot, target),
            identity=job.identity,
            **common,
        )
