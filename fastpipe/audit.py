"""What do the results hold: which jobs are done, which are stale, which files are damaged?

This needs no notes of Snakemake's. A record that carries the identity that the plan asks for is
*current*, provided that its inputs still have the digests with which it was computed; any other
record is *stale*. Files of current records are checked against their digests.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    current: dict[str, str] = {}  # digest of each file of a current record, by its path
    for job in jobs:
        state = _state(job, current, result.damages)
        result.states[tuple(job.records)] = state
        if state is State.CURRENT:
            for record in job.records:
                outputs = read_record(record)["outputs"]
                current |= {str(record.parent / name): outputs[name] for name in outputs}
                if digests:
                    _check_files(record, result.damages)
    return result


def _state(job: Job, current: dict[str, str], damages: list[str]) -> State:
    found: list[dict[str, Any]] = []
    for record, identity in job.records.items():
        if not record.exists():
            return State.MISSING
        try:
            content = read_record(record)
        except UserError as error:
            damages.append(str(error))
            return State.STALE
        if content.get("identity") != identity:
            return State.STALE
        found.append(content)
    for record, content in zip(job.records, found, strict=True):
        if not all((record.parent / name).exists() for name in content["outputs"]):
            return State.STALE
        for path, digest in content["inputs"].items():
            if current.get(path, digest) != digest:
                return State.STALE
    return State.CURRENT


def _check_files(record: Path, damages: list[str]) -> None:
    try:
        verify(record)
    except UserError as error:
        damages.append(str(error))
