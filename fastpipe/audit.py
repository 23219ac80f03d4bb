"""What do the results hold: which jobs are done, which are stale, which files are damaged?

This needs no notes of Snakemake's. A record that carries the identity that the plan asks for is
*current*, provided that its inputs still have the digests with which it was computed; any other
record is *stale*, and so is what was made from one whose inputs have changed. Files of current
records are checked against their digests.

In a study that was opened from a pack, files may have been left out. Their job is current without
them, unless a job that is to run reads them: then it is *missing*.
"""

import enum
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastpipe.config.packed import Packed
from fastpipe.config.plan import Job
from fastpipe.errors import UserError
from fastpipe.integrity import read_record, verify

__all__ = ["Audit", "State", "audit"]


class State(enum.Enum):
    """Where a job stands."""

    MISSING = "missing"
    STALE = "stale"
    CURRENT = "current"


@dataclass
class Audit:
    """State of each job by its records, and what is damaged."""

    states: dict[tuple[Path, ...], State] = field(default_factory=dict)
    damages: list[str] = field(default_factory=list)

    def state(self, job: Job) -> State:
        return self.states[tuple(job.records)]

    def refuse_damage(self) -> None:
        """Raise UserError naming every damaged file and how to rebuild it."""
        if self.damages:
            raise UserError("\n".join(self.damages))


def audit(jobs: Iterable[Job], *, digests: bool = True) -> Audit:
    """Compare the results on disk with what is asked for.

    Args:
        jobs: inputs before their users.
        digests: also check the files of current records (files that have not been touched since
            they were last checked are not read again).
    """
    result = Audit()
    jobs = list(jobs)
    packed = Packed.read()
    current: dict[str, str] = {}  # digest of each file of a current record, by its path
    remade: set[Path] = set()  # records that were made from other bytes than are there now
    for job in jobs:
        state = _state(job, result.damages, packed)
        if state is State.CURRENT and (remade.intersection(job.reads) or _remade(job, current)):
            state = State.STALE
            remade |= job.records.keys()
        result.states[tuple(job.records)] = state
        if state is State.CURRENT:
            for record in job.records:
                current |= _outputs(record)
                if digests:
                    _check_files(record, result.damages, packed)
    if packed.left_out:
        _rebuild_what_is_read(jobs, result)
    return result


def _rebuild_what_is_read(jobs: list[Job], result: Audit) -> None:
    """A job that is to run needs the files that were left out; so then do those that make them."""
    read: set[Path] = set()
    continued: set[Path] = set()  # sources of which a later snapshot is to be trained
    for job in reversed(jobs):
        wanted = read.intersection(job.records)
        wanted = wanted or (job.stage == "pretrain" and job.folder.parent in continued)
        if wanted and not all(map(_whole, job.records)):
            result.states[tuple(job.records)] = State.MISSING
        if result.state(job) is not State.CURRENT and job.stage not in _READ_TABLES_ONLY:
            read.update(job.reads)
            if job.stage == "pretrain":
                continued.add(job.folder.parent)


_READ_TABLES_ONLY = ("collect", "report")
"""Stages that need records and tables, which no pack leaves out."""


def _whole(record: Path) -> bool:
    """Whether all files of a record, if there is one, are there."""
    return record.exists() and all(map(Path.exists, map(Path, _outputs(record))))


def _state(job: Job, damages: list[str], packed: Packed) -> State:
    """Where a job stands by its own records and files."""
    if not all(record.exists() for record in job.records):
        return State.MISSING
    for record, identity in job.records.items():
        try:
            content = read_record(record)
        except UserError as error:
            damages.append(str(error))
            return State.STALE
        if content.get("identity") != identity:
            return State.STALE
        files = {record.parent / name: digest for name, digest in content["outputs"].items()}
        if not all(file.exists() or packed.lacks(file, files[file]) for file in files):
            return State.STALE
    return State.CURRENT


def _remade(job: Job, current: Mapping[str, str]) -> bool:
    """Whether an input has other bytes now than those that the job's records name."""
    inputs = itertools.chain.from_iterable(read_record(r)["inputs"].items() for r in job.records)
    return any(current.get(path, digest) != digest for path, digest in inputs)


def _outputs(record: Path) -> dict[str, str]:
    outputs = read_record(record)["outputs"]
    return {str(record.parent / name): digest for name, digest in outputs.items()}


def _check_files(record: Path, damages: list[str], packed: Packed) -> None:
    outputs = read_record(record)["outputs"] if packed.left_out else {}
    there = [name for name in outputs if (record.parent / name).exists()]
    try:
        verify(record, there if packed.left_out else None)
    except UserError as error:
        damages.append(str(error))
