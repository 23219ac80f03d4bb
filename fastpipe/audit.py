"""What do the results hold: which jobs are done, which are stale, which files are damaged?

This needs no notes of Snakemake's. A record that carries the identity that the plan asks for is
*current*, provided that its inputs still have the digests with which it was computed; any other
record is *stale*, and so is what was made from one whose inputs have changed. Files of current
records are checked against their digests. What is damaged has to be deleted by a person, but for
databases and reports: they are made of the other results in seconds, so damaged ones are stale.

In a study that was opened from a pack, files may have been left out. Their job is current without
them, unless a job that is to run reads them: then it is *missing*.
"""

import enum
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastpipe.config.packed import Packed
from fastpipe.config.plan import Job
from fastpipe.errors import UserError
from fastpipe.integrity import read_record, verify

__all__ = ["Audit", "State", "audit", "there"]


class State(enum.Enum):
    """Where a job stands."""

    MISSING = "missing"
    STALE = "stale"
    CURRENT = "current"


@dataclass
class Audit:
    """State of each job by its records, and what is damaged.

    Attributes:
        damages: what a person has to delete.
        rebuilt: what is damaged and made again without being asked for.
    """

    states: dict[tuple[Path, ...], State] = field(default_factory=dict)
    damages: list[UserError] = field(default_factory=list)
    rebuilt: list[UserError] = field(default_factory=list)

    def state(self, job: Job) -> State:
        return self.states[tuple(job.records)]

    def refuse_damage(self) -> None:
        """Raise UserError naming every damaged file and how to rebuild it."""
        if self.damages:
            raise UserError("\n".join(map(str, self.damages)))


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
        told = result.rebuilt if job.stage in _DERIVED else result.damages
        state, contents = _state(job, told, packed)
        if state is State.CURRENT and (
            remade.intersection(job.reads) or _remade(contents, current)
        ):
            state = State.STALE
            remade |= job.records.keys()
        if state is State.CURRENT and digests and not _whole(contents, told, packed):
            state = State.STALE if job.stage in _DERIVED else state
        result.states[tuple(job.records)] = state
        if state is State.CURRENT:
            for record, content in contents.items():
                current |= _outputs(record, content)
    if packed.left_out:
        _rebuild_what_is_read(jobs, result)
    return result


_DERIVED = ("collect", "report")
"""Stages whose results are cheap, and made of others' records and tables alone, which no pack
leaves out."""


def _rebuild_what_is_read(jobs: list[Job], result: Audit) -> None:
    """A job that is to run needs the files that were left out; so then do those that make them."""
    read: set[Path] = set()
    continued: set[Path] = set()  # sources of which a later snapshot is to be trained
    for job in reversed(jobs):
        wanted = read.intersection(job.records)
        wanted = wanted or (job.stage == "pretrain" and job.folder.parent in continued)
        current = result.state(job) is State.CURRENT  # others run anyway; one may be damaged
        if wanted and current and not all(map(_is_complete, job.records)):
            result.states[tuple(job.records)] = State.MISSING
        if result.state(job) is not State.CURRENT and job.stage not in _DERIVED:
            read.update(job.reads)
            if job.stage == "pretrain":
                continued.add(job.folder.parent)


def _is_complete(record: Path) -> bool:
    """Whether all files of a record, if there is one, are there."""
    return record.exists() and all(
        map(Path.exists, map(Path, _outputs(record, read_record(record))))
    )


def _outputs(record: Path, content: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the files that a record vouches for, by their paths."""
    return {str(record.parent / name): digest for name, digest in content["outputs"].items()}


Contents = Mapping[Path, Mapping[str, Any]]
"""What the records of a job say."""


def _state(job: Job, damages: list[UserError], packed: Packed) -> tuple[State, Contents]:
    """Where a job stands by its own records and files, and what its records say."""
    contents: dict[Path, Mapping[str, Any]] = {}
    if not all(map(there, job.records)):
        return State.MISSING, contents
    for record, identity in job.records.items():
        try:
            contents[record] = content = read_record(record)
        except UserError as error:
            damages.append(error)
            return State.STALE, contents
        if content.get("identity") != identity:
            return State.STALE, contents
        for file, digest in _outputs(record, content).items():
            if not there(Path(file)) and not packed.lacks(Path(file), digest):
                return State.STALE, contents
    return State.CURRENT, contents


def there(path: Path) -> bool:
    """Whether a file exists. Raises UserError if that may not be known."""
    try:
        return path.exists()
    except PermissionError as error:
        raise UserError(
            f"{path} cannot be looked at: {error.strerror}. Get the right to read the folders "
            "above it."
        ) from None


def _remade(contents: Contents, current: Mapping[str, str]) -> bool:
    """Whether an input has other bytes now than those that the job's records name."""
    inputs = itertools.chain.from_iterable(c["inputs"].items() for c in contents.values())
    return any(current.get(path, digest) != digest for path, digest in inputs)


def _whole(contents: Contents, damages: list[UserError], packed: Packed) -> bool:
    """Whether the files of a job's records, those that are there, are as these say."""
    before = len(damages)
    for record, content in contents.items():
        names = None
        if packed.left_out:
            names = [name for name in content["outputs"] if (record.parent / name).exists()]
        try:
            verify(record, names, content=content)
        except UserError as error:
            damages.append(error)
    return len(damages) == before
