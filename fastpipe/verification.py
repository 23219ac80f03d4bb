"""`fastpipe verify`: every result is read again and compared with what its record vouches for.

No notes are relied on, neither Snakemake's nor those that spare reading files again, so results
that were moved or copied can be verified as well. Logs, benchmarks and timings are not vouched for.
"""

import contextlib
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from fastpipe.audit import State, audit
from fastpipe.config.packed import Packed
from fastpipe.config.plan import Job, Plan
from fastpipe.config.problems import nearest
from fastpipe.errors import UserError
from fastpipe.integrity import fault, read_record
from fastpipe.strays import find_strays, sizes

__all__ = ["Finding", "Rebuild", "Verification", "print_verification", "reading", "verify_results"]


Tell = Callable[[int], Callable[[int], None]]


@dataclass(frozen=True)
class Rebuild:
    """The commands that make results again.

    Attributes:
        snakemake: how Snakemake is called, the targets aside.
        configfiles: more configuration files.
    """

    snakemake: tuple[str, ...] = ("snakemake",)
    configfiles: tuple[Path, ...] = ()

    def command(self, removed: Iterable[Path], targets: Iterable[Path | str]) -> str:
        """One line for a shell, names quoted."""
        more = ["--configfile", *map(str, self.configfiles)] if self.configfiles else []
        make = shlex.join([*self.snakemake, *map(str, targets), *more])
        gone = [str(path) for path in removed]
        recursive = ["-r"] if any(Path(path).is_dir() for path in gone) else []
        return f"{shlex.join(['rm', *recursive, *gone])} && {make}" if gone else make


@dataclass(frozen=True)
class Finding:
    """A result that is not as it should be.

    Attributes:
        record: the one of its job.
        reasons: what is wrong, each a sentence.
        removed: what is to be removed before it can be made again: its record, unless files are
            missing and no more, which snakemake sees by itself.
        planned: whether the configuration asks for it.
    """

    record: Path
    reasons: tuple[str, ...]
    removed: tuple[Path, ...] = ()
    planned: bool = True


@dataclass
class Verification:
    """What was found.

    Attributes:
        damaged: results with files that are missing, unreadable or not as recorded.
        stale: results that were made with other settings, inputs or code than are asked for.
        foreign: files that no configuration asks for.
        files: how many files were read.
        bytes: their size together.
        missing: jobs that are still to be done.
    """

    damaged: list[Finding] = field(default_factory=list)
    stale: list[Finding] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    missing: int = 0


@dataclass
class _Vouched:
    """A record and the files that it vouches for."""

    record: Path
    planned: bool
    outputs: dict[Path, str] = field(default_factory=dict)
    problem: str | None = None
    """What is wrong with the record itself."""


def verify_results(
    plan: Plan, study: str | None, tell: Tell = lambda total: lambda done: None
) -> Verification:
    """Read all results of a study, or all that there are.

    Args:
        plan: of the configuration.
        study: a study target; with it, only files in the folders of its jobs count as foreign.
        tell: called with the number of bytes to read; gives what is called with those read so far.

    Raises:
        UserError: there is no such study.
    """
    if study is not None and study not in plan.targets:
        raise UserError(f"there is no study {study!r}; {nearest(study, plan.targets)}")
    every = list(dict.fromkeys(job for name in plan.targets for job in plan.jobs(name)))
    asked = plan.jobs(study) if study else every
    strays = find_strays(every)
    result = Verification(foreign=[*strays.files, *(f for s in strays.jobs for f in s.files)])
    packed = plan.packed
    records = (record for job in asked for record in job.records if record.exists())
    vouched = [_vouched(record, True, packed) for record in records]
    if study is None:
        vouched += [_vouched(stray.record, False, packed) for stray in strays.jobs]
    else:
        folders = {job.folder for job in asked}
        result.foreign = [f for f in result.foreign if folders.intersection(f.parents)]
    _read_all(vouched, result, tell)
    _judge(asked, result)
    return result


def _vouched(record: Path, planned: bool, packed: Packed) -> _Vouched:
    """What a record vouches for, without what was left out of a packed study."""
    found = _Vouched(record, planned)
    try:
        outputs = read_record(record)["outputs"]
    except UserError as error:
        found.problem = error.problem
    else:
        files = {record.parent / name: digest for name, digest in outputs.items()}
        found.outputs = {
            file: digest
            for file, digest in files.items()
            if file.exists() or not packed.lacks(file, digest)
        }
    return found


def _read_all(vouched: Sequence[_Vouched], result: Verification, tell: Tell) -> None:
    present = {file for one in vouched for file in one.outputs if file.is_file()}
    reach = tell(sizes(present))
    for one in vouched:
        reasons = [one.problem] if one.problem else []
        damaged = one.problem is not None
        for file, digest in one.outputs.items():
            if found := fault(file, digest):
                reasons.append(found)
                damaged = damaged or file.exists()
            if file in present:
                result.files += 1
                result.bytes += file.lstat().st_size
                reach(result.bytes)
        if reasons:
            removed = (one.record,) if damaged else ()
            result.damaged.append(Finding(one.record, tuple(reasons), removed, one.planned))


def _judge(jobs: Sequence[Job], result: Verification) -> None:
    """Which results are stale, or not there; damaged ones are told already."""
    told = {finding.record for finding in result.damaged}
    states = audit(jobs, digests=False)
    for job in jobs:
        state = states.state(job)
        result.missing += state is State.MISSING
        if state is State.STALE and not told.intersection(job.records):
            reason = "was made with other settings, inputs or code than are asked for now."
            record = next(iter(job.records))
            result.stale.append(Finding(record, (f"{record} {reason}",)))


@contextlib.contextmanager
def reading() -> Iterator[Tell]:
    """What to tell :func:`verify_results`: a bar on a terminal, nothing elsewhere."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("reading", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:

        def tell(total: int) -> Callable[[int], None]:
            task = bar.add_task("", total=total)
            return lambda done: bar.update(task, completed=done)

        yield tell


# --- telling ------------------------------------------------------------------------------------

_SHOWN = 20
"""Stale results and foreign files that are listed; the rest is counted."""


def print_verification(result: Verification, rebuild: Rebuild, console: Console) -> None:
    """Print what is damaged, stale and foreign, each with the command that mends it."""
    for line in _lines(result, rebuild):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _lines(result: Verification, rebuild: Rebuild) -> Iterator[str]:
    for finding in result.damaged:
        yield from finding.reasons
        yield f"  {_mend(finding, rebuild)}"
    planned = [finding for finding in result.damaged if finding.planned]
    if len(planned) > 1:
        removed = [file for finding in planned for file in finding.removed]
        yield "All of it at once:"
        yield f"  {rebuild.command(removed, [finding.record for finding in planned])}"
    for finding in result.stale[:_SHOWN]:
        yield from finding.reasons
        yield f"  {rebuild.command((), [finding.record])}"
    if len(result.stale) > _SHOWN:
        yield f"… and {len(result.stale) - _SHOWN:,} more stale results"
    if result.foreign:
        yield "Files that no configuration asks for (fastpipe prune tells more):"
        yield from (f"  {file}" for file in result.foreign[:_SHOWN])
        if len(result.foreign) > _SHOWN:
            yield f"  … and {len(result.foreign) - _SHOWN:,} more files"
    yield (
        f"Files read: {result.files:,} ({result.bytes:,} bytes). "
        f"Results damaged: {len(result.damaged):,}, stale: {len(result.stale):,}. "
        f"Files that no configuration asks for: {len(result.foreign):,}. "
        f"Jobs still to do: {result.missing:,}. "
        "Logs, benchmarks and timings are not vouched for."
    )


def _mend(finding: Finding, rebuild: Rebuild) -> str:
    if finding.planned:
        return rebuild.command(finding.removed, [finding.record])
    return (
        "no configuration asks for it: give the one that does with --configfile, or remove it "
        "with fastpipe prune"
    )
