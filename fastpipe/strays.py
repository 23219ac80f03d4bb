"""What lies in `results/` although no configuration asks for it.

A job's files are told by its record: the record itself, the outputs that it lists, the timing and
the notes beside it, and its log and benchmark. Symbolic links to folders are not followed.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fastpipe.config.names import RESULTS, STAGES
from fastpipe.config.plan import Job
from fastpipe.errors import UserError
from fastpipe.integrity import read_record

__all__ = ["SNAKEMAKE_MARK", "Stray", "Strays", "find_strays", "sizes", "stage_of"]

_APART = ("logs", "benchmarks", ".work", "advice", "packed.json", "README.md")
"""Entries of the results folder that are no results of jobs."""


SNAKEMAKE_MARK = ".snakemake_timestamp"
"""Snakemake leaves such a file in each folder that is an output."""


@dataclass(frozen=True)
class Stray:
    """A job's result that no configuration asks for.

    Attributes:
        record: what vouches for its files.
        files: everything that belongs to it and is there, the record first.
    """

    record: Path
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Strays:
    """All that no configuration asks for.

    Attributes:
        jobs: results with a record.
        files: files for which no record vouches; who made them is not known.
    """

    jobs: list[Stray]
    files: list[Path]


def find_strays(jobs: Iterable[Job]) -> Strays:
    """Compare the results folder with all jobs that are asked for."""
    planned = {record: job for job in jobs for record in job.records}
    records = [path for path in _files() if path in planned or _is_record(path)]
    known = {file for record in records for file in _job_files(record)}
    # Without its record, what belongs to a job that is asked for cannot be told.
    unfinished = {job.folder for record, job in planned.items() if not _is_record(record)}
    return Strays(
        [Stray(r, tuple(_present(_job_files(r)))) for r in records if r not in planned],
        [f for f in _files() if f not in known and not unfinished.intersection(f.parents)],
    )


def _job_files(record: Path) -> list[Path]:
    """What belongs to the job of a record, whether it is there or not; the record first."""
    stage = stage_of(record)
    try:
        outputs = [name for name in read_record(record)["outputs"] if _inside(name)]
    except UserError:
        outputs = []
    folder = record.parent
    return [
        record,
        *(folder / name for name in outputs),
        folder / f"{stage}.timing.json",
        folder / f".{record.stem}.seen",
        *(
            RESULTS / kind / folder.relative_to(RESULTS) / f"{stage}{suffix}"
            for kind, suffix in (("logs", ".log"), ("benchmarks", ".tsv"))
        ),
    ]


def stage_of(record: Path) -> str:
    """`prepare` for `prepare-train.json`, and so on."""
    return record.stem.partition("-")[0]


def sizes(files: Iterable[Path]) -> int:
    """Bytes of files, links not followed; one that a job has just removed has none."""
    total = 0
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            total += file.lstat().st_size
    return total


def _files() -> list[Path]:
    """All files of results, sorted; links to folders count as files."""
    found = []
    for place, folders, files in os.walk(RESULTS):
        here = Path(place)
        if here == RESULTS:
            folders[:] = [name for name in folders if name not in _APART]
            files = [name for name in files if name not in _APART]
        links = [name for name in folders if (here / name).is_symlink()]
        found += [here / name for name in (*files, *links) if name != SNAKEMAKE_MARK]
    return sorted(found)


def _is_record(path: Path) -> bool:
    if path.suffix != ".json" or path.is_symlink() or stage_of(path) not in STAGES:
        return False
    try:
        return "identity" in read_record(path)
    except UserError:
        return False


def _present(files: Iterable[Path]) -> Iterator[Path]:
    return (file for file in files if file.is_symlink() or file.is_file())


def _inside(name: str) -> bool:
    """Whether an output is in its record's folder, as all that stages write are."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
