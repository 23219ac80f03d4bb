"""`collect`: the results that a study asks for, and no others, in one DuckDB file.

Only the files named in the spec are opened. Each must lie under a record that carries the identity
of what the configuration asks for *now*, with the bytes that the record vouches for; otherwise
nothing is written, and the error names every file that is not as expected.

The database is built from nothing in the work folder and renamed into place, so an older
`study.duckdb`, be it damaged, open elsewhere or from another DuckDB version, is never opened. Its
bytes are not reproducible (see `fastpipe.reporting.database.build`); the record therefore also
states a digest of each table's rows, which is.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from fastpipe.advice.evaluation import advice_rows
from fastpipe.advice.grid import GRID_QUERY
from fastpipe.config.model import Model
from fastpipe.config.recipe import Recipe
from fastpipe.crash import crash_point
from fastpipe.errors import UserError
from fastpipe.files import canonical_json, read_json, wait_for
from fastpipe.integrity import read_record, verify
from fastpipe.progress import Progress
from fastpipe.reporting.database.build import RUN_IDENTITY, StudyDatabase, read_columns
from fastpipe.stages.job import Job, stage_job

__all__ = [
    "CollectSpec",
    "CollectedArm",
    "CollectedDataset",
    "CollectedPack",
    "CollectedScores",
    "CollectedSimilarity",
    "CollectedSnapshot",
    "CollectedStudy",
    "collect",
]


class CollectedStudy(Model):
    """The study, or one that it includes."""

    name: str
    title: str
    description: str = ""
    scale: str = ""
    """One sentence on data, network and steps at this scale."""
    exhibits: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    """Names of the studies that it includes, at any depth."""
    findings: dict[str, str] = Field(default_factory=dict)
    """Claim → what its author found out."""


class CollectedArm(Model):
    """A label for one recipe variant on one snapshot and target."""

    study: str
    """The one of the studies that declares it."""
    arm: str
    role: Literal["fast", "baseline", "warmup", "feature-extraction", "scratch", "other"]
    source: str
    epoch: float
    target: str
    recipe: str
    seeds: tuple[int, ...]


class CollectedPack(Model):
    """The runs of one folder that the study wants."""

    path: str
    source: str
    epoch: float
    target: str
    recipe: str
    seeds: tuple[int, ...]
    """Seeds wanted; a pack is a whole block and may hold more."""
    forgetting: bool = True
    """Whether the source has images of its own; if not, the pack has no rows on forgetting."""

    @property
    def tables(self) -> dict[str, tuple[str, ...]]:
        """Tables of the pack, by the stage that writes them."""
        stages = [stage for stage in _PACK_FILES if self.forgetting or stage != "forgetting"]
        return {stage: _PACK_FILES[stage] for stage in stages}


class CollectedDataset(Model):
    """A prepared dataset."""

    name: str
    path: str


class CollectedSnapshot(Model):
    """A source at one pretraining epoch."""

    source: str
    epoch: float
    path: str
    skips: bool | None = None
    """Whether the backbone has skip connections."""


class CollectedSimilarity(Model):
    """A similarity and its flow."""

    source: str
    epoch: float
    target: str
    path: str
    own: bool = True
    """Whether it is in the snapshot's own features; if not, in an extractor's."""


class CollectedScores(Model):
    """The scores of a snapshot and a target."""

    source: str
    epoch: float
    target: str
    path: str


class CollectSpec(Model):
    """Everything that determines `study.duckdb`."""

    study: str
    studies: tuple[CollectedStudy, ...] = Field(min_length=1)
    """The study itself, then those it includes."""
    recipes: dict[str, Recipe]
    """Recipe variants by name."""
    arms: tuple[CollectedArm, ...] = Field(min_length=1)
    packs: tuple[CollectedPack, ...] = Field(min_length=1)
    datasets: tuple[CollectedDataset, ...] = ()
    snapshots: tuple[CollectedSnapshot, ...] = ()
    similarities: tuple[CollectedSimilarity, ...] = ()
    scores: tuple[CollectedScores, ...] = ()
    records: dict[str, str]
    """Path of every record that the study rests on → the identity it must carry."""


_PACK_FILES = {
    "finetune": ("steps", "dynamics", "validations", "deployments", "layers", "runs"),
    "deploy": ("adp", "confusion"),
    "forgetting": ("forgetting",),
}


def collect(spec: CollectSpec, *, out: Path, work: Path, identity: str) -> None:
    """Write `out/study.duckdb` and its record, `out/collect.json`.

    Args:
        spec: see :class:`CollectSpec`.
        out: folder of the study.
        work: the `results/.work` folder.
        identity: hash of everything declared that determines the result; goes into the record.

    Raises:
        UserError: records are missing, damaged or carry another identity than expected (all such
            problems in one message), or a pack lacks a seed.
        ValueError: one label stands for two recipes on the same snapshot and target.
    """
    _refuse_ambiguous_labels(spec.arms)
    with stage_job(
        "collect", out, spec=spec, identity=identity, work=work, packages=("duckdb", "pyarrow")
    ) as job:
        job.inputs |= _verify_all(spec)
        with (
            StudyDatabase(job.output("study.duckdb")) as database,
            job.progress(f"collect {spec.study}", _pack_table_count(spec), "tables") as progress,
        ):
            _fill(database, spec, progress)
            job.state_fact(content=database.content())
        crash_point("database-built")
        _forget_write_ahead_log(job, out)
        crash_point("database-log-removed")


def _refuse_ambiguous_labels(arms: Iterable[CollectedArm]) -> None:
    recipes: dict[tuple[str, str, str, float, str], str] = {}
    for arm in arms:
        key = (arm.study, arm.arm, arm.source, arm.epoch, arm.target)
        if recipes.setdefault(key, arm.recipe) != arm.recipe:
            raise ValueError(f"arm {arm.arm} stands for {recipes[key]} and for {arm.recipe}")


def _forget_write_ahead_log(job: Job, out: Path) -> None:
    """Remove logs that DuckDB would replay into a database they do not belong to."""
    for folder in (job.output("study.duckdb").parent, out):
        (folder / "study.duckdb.wal").unlink(missing_ok=True)


# --- what is expected ---------------------------------------------------------------------------


def _files_read(spec: CollectSpec) -> dict[str, list[str]]:
    """Record → its outputs that are read. Most records are only asked for their identity."""
    read: dict[str, list[str]] = {record: [] for record in spec.records}
    for pack in spec.packs:
        for stage, tables in pack.tables.items():
            read[f"{pack.path}/{stage}.json"] = [f"{table}.parquet" for table in tables]
    for dataset in spec.datasets:
        read[f"{dataset.path}/prepare-test.json"] = ["card.json"]
    for snapshot in spec.snapshots:
        read[f"{snapshot.path}/pretrain.json"] = ["history.parquet"]
    for pair in spec.similarities:
        read[f"{pair.path}/similarity.json"] = ["flow.parquet", "similarity.parquet"]
    for pair in spec.scores:
        read[f"{pair.path}/scores.json"] = ["scores.parquet"]
    return read


def _verify_all(spec: CollectSpec) -> dict[str, str]:
    """Digest of every file read, by path; one UserError for all that is not as expected."""
    problems: list[str] = []
    digests: dict[str, str] = {}
    read = {Path(record): names for record, names in _files_read(spec).items()}
    wait_for(place for record in read for place in (record, *map(record.with_name, read[record])))
    for record, names in read.items():
        try:
            _require_identity(record, spec.records[str(record)])
            found = verify(record, names)
            digests |= {f"{record.parent}/{name}": sha for name, sha in found.items()}
        except UserError as error:
            problems.append(str(error))
    problems = problems or _disagreements(spec.records)
    if problems:
        shown = problems[:20] + ([f"… and {len(problems) - 20} more"] if len(problems) > 20 else [])
        raise UserError(
            f"study {spec.study} cannot be collected; {len(problems)} result(s) are not what the "
            "configuration asks for:\n" + "\n".join(f"- {problem}" for problem in shown)
        )
    return digests


def _require_identity(record: Path, identity: str) -> None:
    if read_record(record).get("identity") != identity:
        raise UserError(
            f"{record} was made with other settings, inputs or code than the configuration asks "
            f"for now. Delete {record} and run snakemake again to rebuild it."
        )


def _disagreements(records: Iterable[str]) -> list[str]:
    """Records made from other bytes than their inputs have now; they are whole and as expected."""
    contents = {Path(record): read_record(Path(record)) for record in records}
    outputs = {
        str(record.parent / name): digest
        for record, content in contents.items()
        for name, digest in content["outputs"].items()
    }
    return [
        f"{record} was made from another {path} than there is now. Run snakemake again."
        for record, content in contents.items()
        for path, digest in content["inputs"].items()
        if outputs.get(path, digest) != digest
    ]


# --- rows ---------------------------------------------------------------------------------------


def _pack_table_count(spec: CollectSpec) -> int:
    return sum(table != "runs" for p in spec.packs for own in p.tables.values() for table in own)


def _fill(database: StudyDatabase, spec: CollectSpec, progress: Progress) -> None:
    database.insert("studies", _study_rows(spec.studies))
    database.insert("findings", _finding_rows(spec.studies))
    database.insert("arms", _arm_rows(spec.arms))
    database.insert("recipes", [_recipe_row(name, r) for name, r in spec.recipes.items()])
    database.insert("datasets", [_dataset_row(dataset) for dataset in spec.datasets])
    database.insert("snapshots", [_snapshot_row(snapshot) for snapshot in spec.snapshots])
    database.insert("history", _history(database, spec.snapshots))
    own = [pair for pair in spec.similarities if pair.own]
    for table, file, pairs in (
        ("similarity", "similarity", own),
        ("flow", "flow", own),
        ("extractor_similarity", "similarity", spec.similarities),
    ):
        columns = database.columns(table)
        database.insert_parquet(
            table, (read_columns(Path(pair.path) / f"{file}.parquet", columns) for pair in pairs)
        )
    database.insert_parquet("scores", map(_scores, spec.scores))
    for stage, tables in _PACK_FILES.items():
        packs = [pack for pack in spec.packs if stage in pack.tables]
        for table in tables:
            if table != "runs":
                database.insert_parquet(table, _pack_tables(database, packs, table, progress))
    runs = _staged_runs(database, spec.packs)
    database.finish(runs, {"advice": lambda whole: advice_rows(whole.rows(GRID_QUERY))})


def _study_rows(studies: Iterable[CollectedStudy]) -> list[dict[str, Any]]:
    return [
        study.model_dump(exclude={"findings"}) | {"position": position}
        for position, study in enumerate(studies)
    ]


def _finding_rows(studies: Iterable[CollectedStudy]) -> list[dict[str, str]]:
    return [
        {"study": study.name, "claim": claim, "text": text}
        for study in studies
        for claim, text in study.findings.items()
    ]


def _recipe_row(name: str, recipe: Recipe) -> dict[str, Any]:
    """All fields, and the quantities of Li et al. (ICLR 2020, section 3.3) that follow."""
    plain = recipe.optimiser in ("sgd", "nesterov") and recipe.momentum_form == "torch"
    elr = recipe.alpha / (1 - recipe.momentum) if plain and recipe.alpha == recipe.beta else None
    relative = recipe.effective_weight_decay
    decay = recipe.weight_decay if relative is None else relative * recipe.beta
    return {"recipe": name, "elr": elr, "lambda": decay} | recipe.model_dump()


def _arm_rows(arms: tuple[CollectedArm, ...]) -> list[dict[str, Any]]:
    labels: dict[str, list[str]] = {}
    for arm in arms:
        own = labels.setdefault(arm.study, [])
        if arm.arm not in own:
            own.append(arm.arm)
    return [
        arm.model_dump() | {"seeds": list(arm.seeds), "position": labels[arm.study].index(arm.arm)}
        for arm in arms
    ]


def _dataset_row(dataset: CollectedDataset) -> dict[str, Any]:
    folder = Path(dataset.path)
    row: dict[str, Any] = {"dataset": dataset.name}
    for split in ("train", "val", "test"):
        facts = read_record(folder / f"prepare-{split}.json").get("facts", {})
        row |= {key: facts[key] for key in ("size", "channels", "classes") if key in facts}
        row[split] = facts.get("count")
    return row | {"card": canonical_json(read_json(folder / "card.json"))}


def _snapshot_row(snapshot: CollectedSnapshot) -> dict[str, Any]:
    record = read_record(Path(snapshot.path) / "pretrain.json")
    spec, facts = record["spec"], record.get("facts", {})
    return {
        "source": snapshot.source,
        "epoch": snapshot.epoch,
        "dataset": spec.get("dataset"),
        "backbone": spec.get("backbone", {}).get("name"),
        "skips": snapshot.skips,
    } | {name: facts.get(name) for name in ("features", "steps", "val_top1", "device", "precision")}


def _history(database: StudyDatabase, snapshots: tuple[CollectedSnapshot, ...]) -> pa.Table:
    """Histories of all snapshots joined; a row that two snapshots tell is told once.

    A validation at the end of one snapshot may come again in its successor's history.
    """
    columns = database.columns("history")
    if not snapshots:
        return pa.Table.from_pylist([], schema=pa.schema([]))
    rows = pa.concat_tables(
        read_columns(Path(snapshot.path) / "history.parquet", columns) for snapshot in snapshots
    )
    first = rows.group_by(["source", "step", "split"], use_threads=False).aggregate(
        [("epoch", "first"), ("loss", "first"), ("top1", "first")]
    )
    named = first.rename_columns([name.removesuffix("_first") for name in first.column_names])
    return named.sort_by([("source", "ascending"), ("step", "ascending"), ("split", "ascending")])


def _pack_tables(
    database: StudyDatabase, packs: Iterable[CollectedPack], table: str, progress: Progress
) -> Iterator[pa.Table]:
    columns = _pack_columns(database, table)
    for pack in packs:
        yield read_columns(Path(pack.path) / f"{table}.parquet", columns, pack.seeds)
        progress.advance()


def _pack_columns(database: StudyDatabase, table: str) -> list[str]:
    """Identity and step first, so that sorting by all columns sorts by them."""
    columns = database.columns(table)
    first = [name for name in (*RUN_IDENTITY, "step") if name in columns]
    return first + [name for name in columns if name not in first]


def _staged_runs(database: StudyDatabase, packs: Iterable[CollectedPack]) -> pa.Table:
    """What fine-tuning says of each run, with its time, and on what it was computed."""
    columns = [*RUN_IDENTITY, *(c for c in database.columns("runs") if c not in RUN_IDENTITY)]
    return pa.concat_tables(
        [
            _with_timing(_runs(Path(pack.path), columns, pack.seeds), Path(pack.path))
            for pack in packs
        ],
        promote_options="default",
    )


def _runs(folder: Path, columns: list[str], seeds: tuple[int, ...]) -> pa.Table:
    runs = read_columns(folder / "runs.parquet", columns, seeds)
    absent = sorted(set(seeds) - set(runs["seed"].to_pylist()))
    if absent:
        raise UserError(
            f"{folder / 'runs.parquet'} has no run with seed {', '.join(map(str, absent))}. "
            "Delete that folder and run snakemake again to rebuild it."
        )
    return runs


def _with_timing(runs: pa.Table, folder: Path) -> pa.Table:
    facts = read_record(folder / "finetune.json").get("facts", {})
    timing = _timing(folder / "finetune.timing.json")
    seconds = timing.get("run_seconds", {})
    each = [seconds.get(str(seed)) for seed in runs["seed"].to_pylist()]
    runs = runs.append_column("seconds", pa.array(each, pa.float64()))
    for name, value, kind in (
        ("device", facts.get("device"), pa.string()),
        ("precision", facts.get("precision"), pa.string()),
        ("device_name", timing.get("device"), pa.string()),
        ("peak_bytes", timing.get("peak_bytes"), pa.int64()),
        ("utilisation", timing.get("utilisation"), pa.float64()),
    ):
        runs = runs.append_column(name, pa.array([value] * len(runs), kind))
    return runs


def _scores(pair: CollectedScores) -> pa.Table:
    """Scores with the seconds that each took."""
    folder = Path(pair.path)
    rows = pq.read_table(folder / "scores.parquet")
    timing = _timing(folder / "scores.timing.json").get("score_seconds", {})
    seconds = [timing.get(score) for score in rows["score"].to_pylist()]
    return rows.append_column("seconds", pa.array(seconds, pa.float64()))


def _timing(path: Path) -> Mapping[str, Any]:
    """Seconds are worth having, not worth failing for: a missing file leaves them NULL."""
    return read_json(path) if path.exists() else {}
