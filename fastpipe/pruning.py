"""`fastpipe prune`: what no configuration asks for any more, and what killed jobs have left.

Only what records vouch for is removed, so a file of unknown origin stays; nothing outside of
`results/`, nothing behind a symbolic link, and nothing of a job that is running: its lock is held
while its files go.
"""

import contextlib
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from fastpipe.audit import State, audit
from fastpipe.config.names import RESULTS, WORK
from fastpipe.config.plan import Job, Plan
from fastpipe.errors import UserError
from fastpipe.files import read_json
from fastpipe.locks import Holder, Lock, note_of
from fastpipe.stages.job import NOTE, lock_file
from fastpipe.strays import SNAKEMAKE_MARK, find_strays, sizes, stage_of

__all__ = ["Leftover", "Prunable", "find_prunable", "print_prunable", "remove"]


@dataclass(frozen=True)
class Leftover:
    """Something that may go.

    Attributes:
        path: the record of a result, a work folder, or a lock.
        files: the files to be removed; empty folders above them go, too.
        lock: what its job would hold while it runs.
    """

    path: Path
    files: tuple[Path, ...]
    lock: Path

    @property
    def bytes(self) -> int:
        return sizes(self.files)


@dataclass
class Prunable:
    """All that may go, and what stays although nobody asks for it.

    Attributes:
        results: of jobs that no configuration asks for.
        work: work folders that no job will take up again, and locks of such jobs.
        running: of both kinds, what a job is at work on, and the process that runs it.
        unknown: files that no record vouches for.
    """

    results: list[Leftover] = field(default_factory=list)
    work: list[Leftover] = field(default_factory=list)
    running: list[tuple[Leftover, Holder]] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)

    @property
    def all(self) -> list[Leftover]:
        return [*self.results, *self.work]


def find_prunable(plan: Plan) -> Prunable:
    """Compare the results with all targets of a configuration: every study at every scale."""
    jobs = list(dict.fromkeys(job for name in plan.targets for job in plan.jobs(name)))
    strays = find_strays(jobs)
    found = Prunable(unknown=strays.files)
    results = [
        Leftover(s.record, s.files, lock_file(WORK, stage_of(s.record), s.record.parent))
        for s in strays.jobs
    ]
    work = [*_work_folders(jobs), *_locks(jobs, {leftover.lock for leftover in results})]
    for leftovers, free in ((results, found.results), (work, found.work)):
        for leftover in leftovers:
            if holder := _holder(leftover.lock):
                found.running.append((leftover, holder))
            else:
                free.append(leftover)
    return found


_HASH = re.compile("[0-9a-f]{32}")


def _work_folders(jobs: Iterable[Job]) -> Iterator[Leftover]:
    """Work folders whose job is done, has changed, or is not asked for."""
    jobs = list(jobs)
    states = audit(jobs, digests=False)
    resumed = {
        (job.stage, str(job.folder), _by_part(job))
        for job in jobs
        if states.state(job) is not State.CURRENT
    }
    for folder in sorted(WORK.glob("*")):
        if not _HASH.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
            continue
        stage, place, identities = _whose(folder)
        if (stage, place, identities) not in resumed:
            files = tuple(p for p in sorted(folder.rglob("*")) if p.is_symlink() or p.is_file())
            yield Leftover(folder, files, lock_file(WORK, stage, Path(place)))


def _by_part(job: Job) -> frozenset[str]:
    return frozenset(identity for _, identity in job.identities)


def _whose(folder: Path) -> tuple[str, str, frozenset[str]]:
    """Stage, final folder and identities of the job that made a work folder; nobody's if torn."""
    try:
        note = read_json(folder / NOTE)
        return note["stage"], note["folder"], frozenset(note["identities"].values())
    except (UserError, KeyError, TypeError, AttributeError):
        return "", "", frozenset()


def _locks(jobs: Iterable[Job], of_results: set[Path]) -> Iterator[Leftover]:
    """Locks, and who held them last, of jobs that are not asked for. Those of others stay: whoever
    waits for a lock that is removed would not see the next to take it."""
    wanted = {lock_file(WORK, job.stage, job.folder) for job in jobs} | of_results
    for lock in sorted((WORK / "locks").glob("*.lock")):
        if _HASH.fullmatch(lock.stem) and lock not in wanted:
            files = [lock, note_of(lock)]
            yield Leftover(lock, tuple(file for file in files if file.is_file()), lock)


def _holder(lock: Path) -> Holder | None:
    return Lock(lock, "").holder() if lock.exists() else None


def remove(leftovers: Iterable[Leftover]) -> list[tuple[Leftover, Holder]]:
    """Remove leftovers; those that a job has begun to work on meanwhile stay, and are returned with
    the process that runs it."""
    stayed = []
    for leftover in leftovers:
        lock = Lock(leftover.lock, f"removing {leftover.path}")
        if holder := lock.acquire(sign=False):  # on a full disk, too
            stayed.append((leftover, holder))
            continue
        try:
            _remove(leftover)
            if leftover.path.parent != WORK:
                leftover.lock.unlink(missing_ok=True)
        finally:
            lock.release()
    return stayed


def _remove(leftover: Leftover) -> None:
    """The record first: what is half removed when this is killed is vouched for no more."""
    for file in leftover.files:
        _require_inside(file)
        file.unlink(missing_ok=True)
    if leftover.path.parent == WORK:
        shutil.rmtree(leftover.path, ignore_errors=True)
    for folder in sorted({file.parent for file in leftover.files}, reverse=True):
        for above in (folder, *folder.parents):
            if not above.is_dir():
                continue
            if above in (RESULTS, WORK, WORK / "locks"):
                break
            if [file.name for file in above.iterdir()] == [SNAKEMAKE_MARK]:
                (above / SNAKEMAKE_MARK).unlink()
            with contextlib.suppress(OSError):  # others' files are in it
                above.rmdir()


def _require_inside(file: Path) -> None:
    """Raise UserError if a file is reached through a symbolic link out of the results folder."""
    if not file.parent.resolve().is_relative_to(RESULTS.resolve()):
        raise UserError(f"{file} lies outside of {RESULTS}; nothing is removed there.")


# --- telling ------------------------------------------------------------------------------------

_SHOWN = 20


def print_prunable(found: Prunable, console: Console) -> None:
    """Print paths and bytes, with totals."""
    for line in _lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _lines(found: Prunable) -> Iterator[str]:
    yield "Counted as asked for: all studies of the configuration at all their scales."
    if found.results:
        yield "Results that nobody asks for:"
        yield from map(_line, found.results)
    if found.work:
        yield "Left by jobs that will not go on:"
        yield from (_line(leftover) for leftover in found.work if leftover.path != leftover.lock)
        locks = [leftover for leftover in found.work if leftover.path == leftover.lock]
        if locks:
            total = sum(lock.bytes for lock in locks)
            yield f"  {total:>15,} bytes  {len(locks)} locks in {WORK / 'locks'}"
    if found.running:
        yield "Stays, as a job is at work on it:"
        yield from (f"{_line(leftover)} ({holder})" for leftover, holder in found.running)
    if found.unknown:
        yield "Stays, as no record vouches for it (remove it yourself if you know what it is):"
        yield from (f"  {sizes([file]):>15,} bytes  {file}" for file in found.unknown[:_SHOWN])
        if len(found.unknown) > _SHOWN:
            yield f"  … and {len(found.unknown) - _SHOWN:,} more files"
    total = sum(leftover.bytes for leftover in found.all)
    files = sum(len(leftover.files) for leftover in found.all)
    yield f"To be removed: {files:,} files, {total:,} bytes."


def _line(leftover: Leftover) -> str:
    return f"  {leftover.bytes:>15,} bytes  {leftover.path}"
