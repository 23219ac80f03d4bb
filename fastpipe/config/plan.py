"""The graph as data: for every job its stage, folder, spec, and the identity of what it computes.

An **identity** is a hash over everything declared that determines a result: the job's own spec
and code fingerprint and the identities of its inputs. Every record carries its identity, so what
is there, what is stale and what is missing can be told from the results alone.
"""

import functools
import hashlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastpipe.config.backbone_names import has_skips
from fastpipe.config.config import Config, source_channels
from fastpipe.config.content import content_digest
from fastpipe.config.expansion import (
    Runs,
    Target,
    extractors_of,
    parse_snapshot,
    runs_of,
    study_targets,
)
from fastpipe.config.fingerprint import fingerprint
from fastpipe.config.listing import listings
from fastpipe.config.names import (
    Pack,
    Snapshot,
    dataset_folder,
    features_folder,
    pack_folder,
    similarity_folder,
    snapshot_folder,
    study_folder,
)
from fastpipe.config.packed import Packed
from fastpipe.config.source import Pretraining, Source
from fastpipe.files import canonical_json

__all__ = ["Job", "Plan", "stage_code"]

Spec = dict[str, Any]

SPLITS = ("train", "val", "test")

_TEST_ONLY = ("test_per_class",)
"""Fields of a dataset that cannot change its train and val splits."""


@dataclass(frozen=True)
class Job:
    """One job's declaration.

    Attributes:
        stage: name of the stage.
        folder: where its outputs lie.
        spec: canonical JSON of everything declared that determines its result, inputs aside.
        code: fingerprint of the stage's code.
        upstream: hash of the identities of its inputs.
        reads: the records of its inputs.
        identities: (file name, identity) of each of its records.
    """

    stage: str
    folder: Path
    spec: str
    code: str
    upstream: str
    reads: tuple[Path, ...]
    identities: tuple[tuple[str, str], ...]

    @property
    def identity(self) -> str:
        """Identity of a job with one record."""
        ((_, identity),) = self.identities
        return identity

    @property
    def records(self) -> dict[Path, str]:
        """Records that the job writes, with the identity each must carry."""
        return {self.folder / name: identity for name, identity in self.identities}

    @property
    def record(self) -> Path:
        """The only record."""
        (record,) = self.records
        return record


def _once(method: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method of Plan compute its result once for the same arguments."""

    @functools.wraps(method)
    def remembered(self: "Plan", *args: Any) -> Any:
        key = (method.__name__, *args)
        if key not in self._made:
            self._made[key] = method(self, *args)
        return self._made[key]

    return remembered


class Plan:
    """All jobs that a configuration can ask for."""

    def __init__(self, config: Config):
        self.config = config
        self.targets = study_targets(config)
        self.packed = Packed.read()
        self._made: dict[tuple, Any] = {}

    # --- data ------------------------------------------------------------------------------

    @_once
    def prepare(self, dataset: str) -> Job:
        folder, code = dataset_folder(dataset), stage_code("prepare")
        spec = {"dataset": dataset, **self.config.datasets[dataset].model_dump(mode="json")}
        identities = tuple(
            (f"prepare-{split}.json", self._split(dataset, split)) for split in SPLITS
        )
        return Job("prepare", folder, canonical_json(spec), code, "", (), identities)

    @_once
    def _split(self, dataset: str, split: str) -> str:
        """Identity of one split: a change that concerns only the test split leaves the others."""
        spec = self.config.datasets[dataset].model_dump(mode="json")
        found = self.listings(dataset)
        if split != "test":
            spec = {key: value for key, value in spec.items() if key not in _TEST_ONLY}
            found = {key: value for key, value in found.items() if key != "test"}
        return _hash(split, canonical_json(spec), canonical_json(found), stage_code("prepare"))

    @_once
    def listings(self, dataset: str) -> dict[str, str]:
        """What lies in the dataset's folder of images; if it has none here, what a pack says."""
        return listings(self.config.datasets[dataset]) or self.packed.listings.get(dataset, {})

    def _split_inputs(self, dataset: str, *splits: str) -> dict[Path, str]:
        return {
            record: identity
            for record, identity in self.prepare(dataset).records.items()
            if record.stem.removeprefix("prepare-") in splits
        }

    # --- sources ---------------------------------------------------------------------------

    @_once
    def pretrain(self, snapshot: Snapshot) -> Job:
        source = self.config.sources[snapshot.source]
        if source.library is not None:
            return self._released(snapshot, source)
        training = source.model_dump(mode="json", include=set(Pretraining.model_fields))
        if source.schedule == "constant":
            del training["epochs"]  # so that a snapshot further on changes none of the others
        spec = {
            "source": snapshot.source,
            "epoch": float(snapshot.epoch),
            "dataset": source.dataset,
            "start": str(self.origin(snapshot.source) or "") or None,
            **self._network(snapshot.source),
            **training,
        }
        inputs = self._split_inputs(source.dataset, "train", "val")
        if origin := self.origin(snapshot.source):
            inputs |= self.pretrain(origin).records
        return self._job("pretrain", snapshot_folder(snapshot), spec, inputs)

    def _released(self, snapshot: Snapshot, source: Source) -> Job:
        released = ("dataset", "library", "weights", "mean", "std", "sha256")
        spec = {
            "source": snapshot.source,
            "epoch": float(snapshot.epoch),
            **source.model_dump(mode="json", include={"backbone", *released}),
            "channels": source_channels(self.config, source),
            "content": self.content(snapshot.source),
        }
        inputs = self._split_inputs(source.dataset, "train") if source.dataset else {}
        return self._job("pretrain", snapshot_folder(snapshot), spec, inputs, code="released")

    @_once
    def content(self, source: str) -> str | None:
        """Digest of a source's file of weights; if it is not here, what a pack says."""
        file = self.config.sources[source].file
        if file and file.is_file():
            return content_digest(file)
        return self.packed.contents.get(source)

    def origin(self, source: str) -> Snapshot | None:
        """The other source's snapshot that a source starts from."""
        start = self.config.sources[source].start
        return parse_snapshot(self.config, start)[0] if start else None

    def predecessor(self, snapshot: Snapshot) -> Snapshot | None:
        """The snapshot that this one continues from; the lowest starts from its origin, if any."""
        epochs = sorted({0.0, *self.config.sources[snapshot.source].snapshots})
        earlier = [epoch for epoch in epochs if epoch < snapshot.epoch]
        if earlier:
            return Snapshot(snapshot.source, earlier[-1])
        return self.origin(snapshot.source)

    def snapshots_for(self, snapshot: Snapshot) -> list[Snapshot]:
        """A snapshot and all that it continues from, first things first."""
        before = self.predecessor(snapshot)
        return [*(self.snapshots_for(before) if before else []), snapshot]

    # --- similarity ------------------------------------------------------------------------

    @_once
    def features(self, snapshot: Snapshot, dataset: str) -> Job:
        spec = {
            "source": snapshot.source,
            "epoch": float(snapshot.epoch),
            "dataset": dataset,
            "similarity_images_per_class": self.config.settings.similarity_images_per_class,
            "score_images_per_class": self.config.settings.score_images_per_class,
            **self._network(snapshot.source),
        }
        spec["compute"] = spec["compute"] | {"precision": "fp32"}
        inputs = self.pretrain(snapshot).records | self._split_inputs(dataset, "train", "val")
        return self._job("features", features_folder(snapshot, dataset), spec, inputs)

    @_once
    def similarity(self, snapshot: Snapshot, target: str, extractor: Snapshot) -> Job:
        settings = self.config.settings
        spec = {
            "source": snapshot.source,
            "epoch": float(snapshot.epoch),
            "target": target,
            "extractor": str(extractor),
            "gamma": settings.gamma,
            "min_count": settings.min_count,
        }
        own = self.config.sources[snapshot.source].dataset
        inputs = self.features(extractor, own).records | self.features(extractor, target).records
        folder = similarity_folder(snapshot, target, extractor)
        return self._job("similarity", folder, spec, inputs)

    @_once
    def scores(self, snapshot: Snapshot, target: str) -> Job:
        spec = {"source": snapshot.source, "epoch": float(snapshot.epoch), "target": target}
        inputs = self.features(snapshot, target).records
        return self._job("scores", similarity_folder(snapshot, target), spec, inputs)

    # --- runs ------------------------------------------------------------------------------

    @functools.cached_property
    def recipes(self) -> dict[str, Spec]:
        """Every variant that a study asks for, by name."""
        found: dict[str, Spec] = {
            name: recipe.model_dump(mode="json") for name, recipe in self.config.recipes.items()
        }
        for runs in itertools.chain(*self._runs.values()):
            found[runs.variant] = runs.recipe.model_dump(mode="json")
        return found

    @_once
    def finetune(self, pack: Pack) -> Job:
        spec = {
            **self._identity_columns(pack),
            **self._network(pack.snapshot.source),
            "recipe": self.recipes[pack.variant],
        }
        inputs = self.pretrain(pack.snapshot).records
        inputs |= self._split_inputs(pack.target, "train", "val")
        return self._job("finetune", pack_folder(pack), spec, inputs)

    @_once
    def deploy(self, pack: Pack) -> Job:
        inputs = self._evaluation_inputs(pack) | self._split_inputs(pack.target, "test")
        return self._job("deploy", pack_folder(pack), self._evaluation_spec(pack), inputs)

    @_once
    def forgetting(self, pack: Pack) -> Job:
        dataset = self.config.sources[pack.snapshot.source].dataset
        spec = {**self._evaluation_spec(pack), "source_dataset": dataset}
        inputs = self._evaluation_inputs(pack) | self._split_inputs(dataset, "test")
        return self._job("forgetting", pack_folder(pack), spec, inputs)

    def _evaluation_inputs(self, pack: Pack) -> dict[Path, str]:
        return self.finetune(pack).records | self.pretrain(pack.snapshot).records

    def _evaluation_spec(self, pack: Pack) -> Spec:
        return {
            **self._identity_columns(pack),
            **self._network(pack.snapshot.source),
            "head_bias": self.recipes[pack.variant]["head_bias"],
        }

    def _identity_columns(self, pack: Pack) -> Spec:
        return {
            "source": pack.snapshot.source,
            "epoch": float(pack.snapshot.epoch),
            "target": pack.target,
            "variant": pack.variant,
            "seeds": pack.seeds,
        }

    def _network(self, source: str) -> Spec:
        declared = self.config.sources[source]
        return {
            "backbone": declared.backbone.model_dump(mode="json"),
            "channels": source_channels(self.config, declared),
            "compute": self.config.settings.compute.model_dump(mode="json"),
        }

    # --- studies ---------------------------------------------------------------------------

    def runs(self, target: str) -> list[Runs]:
        """All runs of a study target and of the studies it includes."""
        return [runs for name in self.with_included(target) for runs in self._runs[name]]

    def own_runs(self, target: str) -> list[Runs]:
        """Runs of a study target, those of included studies not among them."""
        return self._runs[target]

    @functools.cached_property
    def _runs(self) -> dict[str, list[Runs]]:
        return {name: runs_of(self.config, target) for name, target in self.targets.items()}

    def packs(self, target: str) -> list[Pack]:
        """All packs of a study target."""
        return list(
            dict.fromkeys(pack for runs in self.runs(target) for pack in self.packs_of(runs))
        )

    def packs_of(self, runs: Runs) -> list[Pack]:
        """The packs that hold seeds 0 … seeds − 1: aligned blocks, always whole."""
        size = self.config.settings.pack_seeds
        return [
            Pack(runs.snapshot, runs.target, runs.variant, first, first + size - 1)
            for first in range(0, runs.seeds, size)
        ]

    def snapshots(self, target: str) -> list[Snapshot]:
        """Snapshots that runs of a target start from."""
        return list(dict.fromkeys(runs.snapshot for runs in self.runs(target)))

    def pairs(self, target: str) -> list[tuple[Snapshot, str]]:
        """(snapshot, target dataset) pairs, for which scores of transferability are computed."""
        return list(dict.fromkeys((runs.snapshot, runs.target) for runs in self.runs(target)))

    def comparisons(self, target: str) -> list[tuple[Snapshot, str, Snapshot]]:
        """(snapshot, target dataset, extractor) for which the domain similarity is computed: in the
        snapshot's own features, and in those of each study's extractors."""
        found = dict.fromkeys(
            (runs.snapshot, runs.target, extractor)
            for name in self.with_included(target)
            for runs in self.own_runs(name)
            for extractor in [runs.snapshot, *extractors_of(self.config, self.targets[name])]
        )
        return [comparison for comparison in found if self._has_images(comparison[0])]

    def _has_images(self, snapshot: Snapshot) -> bool:
        """Whether the source has a dataset: for forgetting, and to compare with a target."""
        return self.config.sources[snapshot.source].dataset is not None

    def datasets(self, target: str) -> list[str]:
        """Datasets fine-tuned on and those of the sources."""
        needed = [runs.target for runs in self.runs(target)]
        needed += [self.config.sources[part.source].dataset for part in self.trained(target)]
        return list(dict.fromkeys(name for name in needed if name is not None))

    def trained(self, target: str) -> list[Snapshot]:
        """Snapshots of runs and of extractors, with all that they continue from, those first."""
        needed = [*self.snapshots(target), *(e for *_, e in self.comparisons(target))]
        chains = [part for s in dict.fromkeys(needed) for part in self.snapshots_for(s)]
        return list(dict.fromkeys(chains))

    def jobs(self, target: str) -> list[Job]:
        """Every job of a study target, inputs before their users."""
        return [*self.parts(target), self.collect(target), self.report(target)]

    def with_included(self, target: str) -> list[str]:
        """A target and those of its included studies, at the same scale where they have it."""
        own = self.targets[target]
        suffix = target.removeprefix(own.study_name)
        found = [target]
        for name in own.study.includes:
            found += self.with_included(name + suffix if name + suffix in self.targets else name)
        return list(dict.fromkeys(found))

    @_once
    def parts(self, target: str) -> list[Job]:
        """Every job that a study needs before `collect`, inputs before their users."""
        datasets = [self.prepare(name) for name in self.datasets(target)]
        sources = [self.pretrain(snapshot) for snapshot in self.trained(target)]
        pairs, comparisons = self.pairs(target), self.comparisons(target)
        seen = {
            (extractor, dataset)
            for snapshot, other, extractor in comparisons
            for dataset in (self.config.sources[snapshot.source].dataset, other)
        }
        features = [self.features(*pair) for pair in dict.fromkeys([*sorted(seen), *pairs])]
        compared = [self.similarity(*comparison) for comparison in comparisons]
        compared += [self.scores(*pair) for pair in pairs]
        packs = self.packs(target)
        runs = [stage(pack) for stage in (self.finetune, self.deploy) for pack in packs]
        runs += [self.forgetting(pack) for pack in packs if pack in self._remembering(target)]
        return [*datasets, *sources, *features, *compared, *runs]

    @_once
    def _remembering(self, target: str) -> set[Pack]:
        """Packs of a study target whose forgetting is measured."""
        return {
            pack
            for name in self.with_included(target)
            if self.targets[name].study.forgetting
            for runs in self.own_runs(name)
            if self._has_images(runs.snapshot)
            for pack in self.packs_of(runs)
        }

    @_once
    def collect(self, target: str) -> Job:
        seeds = _most_seeds(self.runs(target))
        jobs = self.parts(target)
        studies = [self.targets[name] for name in self.with_included(target)]
        variants = dict.fromkeys(runs.variant for runs in self.runs(target))
        spec = {
            "study": target,
            "studies": [
                _study_spec(study, self.with_included(study.name)[1:]) for study in studies
            ],
            "arms": [
                _arm_spec(study.name, e) for study in studies for e in self.own_runs(study.name)
            ],
            "recipes": {variant: self.recipes[variant] for variant in variants},
            "packs": [
                self._pack_entry(pack, seeds, pack in self._remembering(target))
                for pack in self.packs(target)
            ],
            "datasets": [
                {"name": name, "path": str(dataset_folder(name))} for name in self.datasets(target)
            ],
            "snapshots": [
                {
                    "source": s.source,
                    "epoch": float(s.epoch),
                    "path": str(snapshot_folder(s)),
                    "skips": has_skips(self.config.sources[s.source].backbone),
                }
                for s in self.snapshots(target)
            ],
            "similarities": [
                {
                    "source": s.source,
                    "epoch": float(s.epoch),
                    "target": dataset,
                    "own": s == extractor,
                    "path": str(similarity_folder(s, dataset, extractor)),
                }
                for s, dataset, extractor in self.comparisons(target)
            ],
            "scores": [
                {
                    "source": s.source,
                    "epoch": float(s.epoch),
                    "target": dataset,
                    "path": str(similarity_folder(s, dataset)),
                }
                for s, dataset in self.pairs(target)
            ],
            "records": {
                str(record): identity for job in jobs for record, identity in job.records.items()
            },
        }
        inputs = {record: identity for job in jobs for record, identity in job.records.items()}
        return self._job("collect", study_folder(target), spec, inputs)

    @_once
    def report(self, target: str) -> Job:
        spec = {"study": target}
        return self._job("report", study_folder(target), spec, self.collect(target).records)

    def _pack_entry(self, pack: Pack, seeds: dict[tuple, int], forgetting: bool) -> Spec:
        wanted = seeds[pack.snapshot, pack.target, pack.variant]
        return {
            "source": pack.snapshot.source,
            "epoch": float(pack.snapshot.epoch),
            "target": pack.target,
            "recipe": pack.variant,
            "path": str(pack_folder(pack)),
            "forgetting": forgetting,
            "seeds": [seed for seed in pack.seeds if seed < wanted],
        }

    def _job(
        self, stage: str, folder: Path, spec: Spec, inputs: Mapping[Path, str], code: str = ""
    ) -> Job:
        """A job with one record; `code` is the module of its stage, if not named after it."""
        text, upstream = canonical_json(spec), _hash(*inputs.values())
        code = stage_code(code or stage)
        identity = (f"{stage}.json", _hash(stage, text, code, upstream))
        return Job(stage, folder, text, code, upstream, tuple(inputs), (identity,))


def _study_spec(target: Target, includes: list[str]) -> Spec:
    return {
        "name": target.name,
        "title": target.study.title,
        "description": target.study.description,
        "scale": target.scale.description,
        "exhibits": list(target.study.exhibits),
        "claims": list(target.study.claims),
        "includes": includes,
        "findings": target.scale.findings,
    }


def _arm_spec(study: str, runs: Runs) -> Spec:
    return {
        "study": study,
        "arm": runs.label,
        "role": runs.role,
        "source": runs.snapshot.source,
        "epoch": float(runs.snapshot.epoch),
        "target": runs.target,
        "recipe": runs.variant,
        "seeds": list(range(runs.seeds)),
    }


def _most_seeds(runs: list[Runs]) -> dict[tuple, int]:
    most: dict[tuple, int] = {}
    for entry in runs:
        key = (entry.snapshot, entry.target, entry.variant)
        most[key] = max(most.get(key, 0), entry.seeds)
    return most


@functools.cache
def stage_code(stage: str) -> str:
    """Fingerprint of a stage's code."""
    return fingerprint(f"fastpipe.stages.{stage}")


def _hash(*texts: str) -> str:
    total = hashlib.sha256()
    for text in texts:
        total.update(text.encode() + b"\0")
    return total.hexdigest()
