"""A study in one file, to be opened elsewhere: its results, its configuration, what is left out.

A pack is a plain tar file. Its first member is the manifest, `results/packed.json`; then come the
configuration in effect, `config/packed.yaml`, and the results, sorted by name. The same results
always give the same bytes. Without weights, all that is large and can be computed again is left
out: prepared images, weights, features and the states of runs.
"""

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fastpipe.audit import State, audit
from fastpipe.config.names import STAGES
from fastpipe.config.packed import PACKED
from fastpipe.config.plan import Job, Plan, stage_code
from fastpipe.config.problems import nearest
from fastpipe.errors import UserError
from fastpipe.files import (
    canonical_json,
    digest,
    flush_to_disk,
    json_bytes,
    writing,
)
from fastpipe.integrity import read_record

__all__ = ["Summary", "code_now", "pack_study", "signed"]

_CONFIGURATION = Path("config/packed.yaml")
LARGE = (".safetensors", ".npy")
"""What only a pack with weights holds."""

_TIME = 315_532_800
"""1980-01-01: Snakemake takes 0 for a file that is not complete."""


@dataclass(frozen=True)
class Summary:
    """What was packed or opened: files and bytes in the pack, files that were left out."""

    study: str
    files: int
    bytes: int
    left_out: int
    other_code: tuple[str, ...] = ()
    """Stages whose code is not that with which the study was made."""


def code_now() -> dict[str, str]:
    """Stage → fingerprint of its code."""
    return {stage: stage_code(stage) for stage in (*STAGES, "released")}


def pack_study(plan: Plan, study: str, out: Path, *, weights: bool, force: bool = False) -> Summary:
    """Write the finished results of a study target into one tar file.

    Args:
        out: the file; replaced only if `force`.
        weights: also pack images, weights, features and states.

    Raises:
        UserError: there is no such study, it is not finished, a file is damaged or changes
            meanwhile, `out` is there already, or the disk is full. Nothing is left under `out`.
    """
    if study not in plan.targets:
        raise UserError(f"there is no study {study!r}; {nearest(study, plan.targets)}")
    if out.exists() and not force:
        raise UserError(f"{out} is there already. Name another file, or add --force to replace it.")
    jobs = plan.jobs(study)
    _refuse_unfinished(study, jobs, plan, weights)
    results = _results(jobs)
    left_out = {
        str(path): value
        for path, value in results.items()
        if value and not (path.exists() and (weights or path.suffix not in LARGE))
    }
    results = {path: value for path, value in results.items() if str(path) not in left_out}
    texts = {_CONFIGURATION: _in_order(_configuration(plan, study))}
    sizes = {path: path.stat().st_size for path in results}
    members = {path: [sizes[path], value or digest(path)] for path, value in results.items()}
    members |= {path: [len(t), hashlib.sha256(t).hexdigest()] for path, t in texts.items()}
    texts[PACKED] = json_bytes(signed(_manifest(plan, study, jobs, members, left_out)))
    with _replacing(out) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for path in [PACKED, *sorted(members)]:
            if path in texts:
                _add(tar, path, io.BytesIO(texts[path]), len(texts[path]))
            else:
                _add_result(tar, path, *members[path])
    total = sum(size for size, _ in members.values())
    return Summary(study, len(members) + 1, total, len(left_out))


def _refuse_unfinished(study: str, jobs: list[Job], plan: Plan, weights: bool) -> None:
    found = audit(jobs, digests=False)  # digests are checked while the files are read
    found.refuse_damage()
    left = [job for job in jobs if found.state(job) is not State.CURRENT]
    if left:
        raise UserError(
            f"{study} is not finished: {len(left)} of its {len(jobs)} jobs are missing or stale, "
            f"such as {left[0].stage} in {left[0].folder}. Run `snakemake {study}` first."
        )
    absent = [path for path in plan.packed.left_out if not Path(path).exists()]
    if weights and absent:
        raise UserError(
            f"{study} was opened from a pack without weights: {absent[0]} is not here, nor are "
            f"{len(absent) - 1} other files. Pack it without --weights."
        )


def _results(jobs: Iterable[Job]) -> dict[Path, str | None]:
    """All files of jobs: digest by path; None for what no record vouches for."""
    found: dict[Path, str | None] = {}
    for job in jobs:
        for record in job.records:
            found[record] = None
            outputs = read_record(record)["outputs"]
            found |= {record.parent / name: value for name, value in outputs.items()}
        timing = job.folder / f"{job.stage}.timing.json"
        if timing.exists():
            found[timing] = None
    return found


def _manifest(
    plan: Plan,
    study: str,
    jobs: Iterable[Job],
    members: Mapping[Path, list[Any]],
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    datasets = sorted({job.folder.name for job in jobs if job.stage == "prepare"})
    sources = sorted({job.folder.parent.name for job in jobs if job.stage == "pretrain"})
    return {
        "study": study,
        "code": code_now(),
        "files": {path.as_posix(): size_and_digest for path, size_and_digest in members.items()},
        "left_out": dict(left_out),
        "listings": {name: found for name in datasets if (found := plan.listings(name))},
        "contents": {name: found for name in sources if (found := plan.content(name))},
    }


def signed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with a digest of itself."""
    text = canonical_json(manifest).encode()
    return manifest | {"digest": hashlib.sha256(text).hexdigest()}


def _configuration(plan: Plan, study: str) -> dict[str, Any]:
    """What the study and those it includes, at all their scales, are declared by."""
    config = plan.config
    names = {plan.targets[target].study_name for target in plan.with_included(study)}
    targets = [name for name, target in plan.targets.items() if target.study_name in names]
    sources = {snapshot.source for name in targets for snapshot in plan.trained(name)}
    wanted = {
        "datasets": {dataset for name in targets for dataset in plan.datasets(name)},
        "sources": sources,
        "recipes": {arm.recipe for name in names for arm in config.studies[name].arms.values()},
        "studies": names,
    }
    settings = config.settings.model_dump(mode="json", exclude={"downloads", "results"})
    return {
        "settings": settings | {"default_study": study},
        **{
            section: {
                name: getattr(config, section)[name].model_dump(mode="json", exclude_unset=True)
                for name in sorted(entries)
            }
            for section, entries in wanted.items()
        },
    }


def _in_order(configuration: dict[str, Any]) -> bytes:
    """As JSON, which is YAML too; the order of arms is that of the report, so it is kept."""
    return (json.dumps(configuration, indent=1, ensure_ascii=False) + "\n").encode()


def _add(tar: tarfile.TarFile, path: Path, file: BinaryIO, size: int) -> None:
    member = tarfile.TarInfo(path.as_posix())
    member.size, member.mtime, member.mode = size, _TIME, 0o644
    tar.addfile(member, file)


def _add_result(tar: tarfile.TarFile, path: Path, size: int, expected: str) -> None:
    with path.open("rb") as raw:
        file = _Hashing(raw)
        try:
            _add(tar, path, file, size)
        except OSError as error:
            if str(error) != "unexpected end of data":
                raise
    if file.total.hexdigest() != expected:
        raise UserError(
            f"{path} is damaged, or was changed meanwhile: its bytes are not those its record "
            "vouches for. Run snakemake, then pack the study again."
        )


class _Hashing(io.RawIOBase):
    """Hashes what is read through it."""

    def __init__(self, file: BinaryIO):
        self.file, self.total = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(size)
        self.total.update(content)
        return content


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is complete."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
            flush_to_disk(temporary)
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
