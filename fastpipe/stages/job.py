"""One stage at work: a lock on what it writes, verified inputs, atomic outputs, a record.

A stage writes its files into a work folder, `results/.work/<hash>/`, that survives a kill. Only
when all of them are complete are they flushed and moved to their final places, the record last.
The hash covers the spec, the identity and the records of the inputs, so a job that
finds its work folder again may resume from what lies there.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fastpipe.crash import crash_point
from fastpipe.errors import UserError
from fastpipe.files import (
    canonical_json,
    digest,
    flush_all,
    read_json,
    refusal,
    wait_for,
    write_json,
    writing,
)
from fastpipe.heartbeat import Heartbeat, heartbeat
from fastpipe.integrity import read_record, remember, sealed, verify
from fastpipe.locks import Lock
from fastpipe.progress import Progress
from fastpipe.stages.log import log_may_fail

__all__ = ["NOTE", "Job", "Part", "lock_file", "stage_job"]

NOTE = "job.json"
"""File of a work folder that says whose it is: stage, folder, and identity by part."""

_PLACE_BYTES = 5 * 4096
"""What a job needs before it has made anything: folders, a lock and notes."""

_POLL_SECONDS = 0.1


class Job:
    """What a stage function is handed by :func:`stage_job`."""

    def __init__(self, folder: Path, work: Path, heart: Heartbeat):
        self.folder = folder
        self.heart = heart
        """What `fastpipe status` is told of the job."""
        self.work = work
        """Folder for checkpoints; kept after a kill or an error, removed after success."""
        self.inputs: dict[str, str] = {}
        self.facts: dict[str, Any] = {}
        self.measured: dict[str, Any] = {}
        self.waited_seconds = 0.0
        """Time spent on waiting for a device, which is no part of the stage's own."""
        self.scratch = work / "scratch"
        """Folder for what is of no use after this attempt."""
        self._out = work / "out"
        self._newest = folder
        for folder in (self._out, self.scratch):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

    def input(self, record: Path, name: str, *, recorded: bool = True) -> Path:
        """The file `name` that `record` vouches for, once its digest has been checked.

        `recorded=False` keeps it out of this stage's own record (a snapshot does not name its
        predecessor). Raises UserError if the file is missing, damaged or not the record's.
        """
        wait_for([record, record.parent / name])
        found = verify(record, [name])
        if recorded:
            self.inputs[str(record.parent / name)] = found[name]
        return record.parent / name

    def output(self, name: str) -> Path:
        """Where to write output `name` for now. It is moved to its final place at success."""
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._newest = self.folder / name
        return path

    def outputs(self) -> list[str]:
        """Names of all outputs written so far, sorted."""
        files = (path for path in self._out.rglob("*") if path.is_file())
        return sorted(path.relative_to(self._out).as_posix() for path in files)

    def state_fact(self, **facts: Any) -> None:
        """Put deterministic facts about the result (JSON values) into the record."""
        self.facts |= facts

    def measure(self, **values: Any) -> None:
        """Put what differs from run to run (seconds, bytes, host) into the timing file."""
        self.measured |= values

    def progress(
        self,
        title: str,
        total: int,
        unit: str = "steps",
        *,
        images: float | None = None,
        device: object = None,
    ) -> Progress:
        """Progress of the job (see :class:`Progress`), which its heartbeat tells of as well."""
        self.heart.tell(device=None if device is None else str(device))
        return Progress(title, total, unit, images=images, tell=self.heart.tell)

    @contextlib.contextmanager
    def discarding_what_is_unfinished(self) -> Iterator[None]:
        """After an error only checkpoints stay in the work folder. On a full disk this makes room
        for the message in the log."""
        try:
            yield
        except BaseException as error:
            written = sum(p.stat().st_size for p in self.work.rglob("*") if p.is_file())
            told = refusal(error, self._newest, written, at_least=True)
            for folder in (self._out, self.scratch):
                shutil.rmtree(folder, ignore_errors=True)
            if told is None:
                raise
            raise told from error

    def publish(self, notes: Mapping[str, Any]) -> None:
        """Flush all outputs, then move them to their final places; `notes` (file name → JSON value:
        the timing, then the records) last. Nothing is replaced before everything is written."""
        crash_point("publish-before-flush")
        flush_all([self._out / name for name in self.outputs()])
        tops = sorted(self._out.iterdir())
        for name, content in notes.items():
            write_json(self._out / name, content)
        for name in notes:  # a record never vouches for files that are being replaced
            crash_point("stage-before-records-are-removed")
            (self.folder / name).unlink(missing_ok=True)
        for top in tops:
            final = self.folder / top.name
            if final.is_dir():
                shutil.rmtree(final)
            crash_point("publish-before-rename")
            top.replace(final)
            crash_point("publish-after-rename")
        crash_point("stage-published")
        for name in notes:
            crash_point("stage-before-record")
            (self._out / name).replace(self.folder / name)
            crash_point("stage-after-record")


@dataclass(frozen=True)
class Part:
    """A part of a stage's outputs with a record of its own.

    Attributes:
        spec: what determines this part.
        outputs: names of its files.
    """

    spec: Mapping[str, Any]
    outputs: Sequence[str]


@contextlib.contextmanager
def stage_job(
    stage: str,
    folder: Path,
    *,
    spec: BaseModel | Mapping[str, Any],
    identity: str | Mapping[str, str],
    work: Path,
    reads: Sequence[Path] = (),
    packages: Sequence[str] = (),
    parts: Mapping[str, Part] | None = None,
) -> Iterator[Job]:
    """Run the body of a stage; publish its outputs and its record if it ends well.

    Args:
        stage: name of the stage; the record is `folder/<stage>.json`, what is not deterministic
            goes to `folder/<stage>.timing.json`.
        folder: final folder of the outputs.
        spec: everything declared that determines the result.
        identity: hash of everything declared that determines the result, the code and all that
            its inputs are made from included (:mod:`fastpipe.config.plan`); by part if there are
            parts. The record carries it.
        work: the `results/.work` folder.
        reads: records of the inputs; with spec and identity they name the job's own work folder.
        packages: distributions whose versions belong in the record.
        parts: instead of one record, one for each part: `folder/<stage>-<part>.json`. A fact with
            the name of a part goes into that part's record only, other facts into all.

    Raises:
        UserError: another process holds the lock for a very long time, an input is missing or
            damaged, the disk is full, or the system refuses. Outputs of an earlier run are
            untouched.
        SystemExit: with code 0; the process that held the lock has done this very job.
    """
    spec = spec.model_dump(mode="json") if isinstance(spec, BaseModel) else dict(spec)
    identities = {stage: identity} if isinstance(identity, str) else identity
    with contextlib.ExitStack() as stack:
        stack.enter_context(log_may_fail())
        with writing(folder, _PLACE_BYTES):
            folder.mkdir(parents=True, exist_ok=True)
            waited = stack.enter_context(_lock(work, folder, stage))
            if waited and _is_made(stage, folder, identities, reads):
                print("it has made everything: nothing is left to do", flush=True)
                raise SystemExit(0)
            _clear_up(stage, folder)
            heart = stack.enter_context(heartbeat(work, stage, folder))
            job = Job(folder, work / _work_name(stage, folder, spec, identities, reads), heart)
            whose = {"stage": stage, "folder": str(folder), "identities": dict(identities)}
            (job.work / NOTE).write_text(json.dumps(whose))
        started = time.time()
        with job.discarding_what_is_unfinished():
            yield job
            digests = {name: digest(job.output(name)) for name in job.outputs()}
            records = _records(stage, spec, digests, job.facts, parts)
            versions = {name: importlib.metadata.version(name) for name in packages}
            for name, content in records.items():
                content |= {"stage": stage, "inputs": job.inputs, "versions": versions}
                content["identity"] = identities[name.removeprefix(f"{stage}-")]
                records[name] = sealed(content)
            seconds = time.time() - started - job.waited_seconds
            timing = {"seconds": seconds, "host": socket.gethostname()}
            notes = {f"{stage}.timing": timing | job.measured} | records
            job.publish({f"{name}.json": content for name, content in notes.items()})
        crash_point("stage-before-work-is-removed")
        # Outputs may be links to files in there, and lose one now, which leaves a mark on them.
        shutil.rmtree(job.work, ignore_errors=True)
        for name in records:
            with contextlib.suppress(OSError, UserError):  # a note that spares reading files again
                remember(folder / f"{name}.json")


def _is_made(
    stage: str, folder: Path, identities: Mapping[str, str], reads: Sequence[Path]
) -> bool:
    """Whether a job's results are there, whole, and made from the inputs of now."""
    try:
        now = {
            str(record.parent / name): digest
            for record in reads
            for name, digest in read_record(record)["outputs"].items()
        }
        for part, identity in identities.items():
            record = folder / f"{_record_name(stage, part)}.json"
            content = read_record(record)
            inputs = content["inputs"].items()
            if content.get("identity") != identity or any(now.get(p, d) != d for p, d in inputs):
                return False
            verify(record, content=content)
    except UserError:
        return False
    return True


def _clear_up(stage: str, folder: Path) -> None:
    """Remove what a killed process left of records and notes under temporary names."""
    for pattern in (f".{stage}*.json.*", f"..{stage}*.seen.*"):
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)


def _work_name(
    stage: str,
    folder: Path,
    spec: Mapping[str, Any],
    identities: Mapping[str, str],
    reads: Sequence[Path],
) -> str:
    wait_for(reads)
    inputs = [read_json(record) for record in reads]
    text = canonical_json([stage, str(folder), spec, dict(identities), inputs])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _records(
    stage: str,
    spec: Mapping[str, Any],
    digests: Mapping[str, str],
    facts: Mapping[str, Any],
    parts: Mapping[str, Part] | None,
) -> dict[str, dict[str, Any]]:
    """Content of each record by its name without `.json`."""
    if parts is None:
        return {stage: {"spec": spec, "outputs": dict(digests), "facts": dict(facts)}}
    shared = {key: fact for key, fact in facts.items() if key not in parts}
    return {
        _record_name(stage, name): {
            "spec": dict(part.spec),
            "outputs": {output: digests[output] for output in part.outputs},
            "facts": shared | facts.get(name, {}),
        }
        for name, part in parts.items()
    }


def _record_name(stage: str, part: str) -> str:
    """Name of a part's record, without `.json`; a stage without parts is its own only part."""
    return stage if part == stage else f"{stage}-{part}"


def lock_file(work: Path, stage: str, folder: Path) -> Path:
    """What a job locks while it writes `stage` in `folder`."""
    name = hashlib.sha256(f"{stage} {folder.resolve()}".encode()).hexdigest()[:32]
    return work / "locks" / f"{name}.lock"


@contextlib.contextmanager
def _lock(work: Path, folder: Path, stage: str, patience_s: float = 3600.0) -> Iterator[bool]:
    """Hold the only right to write `stage` in `folder`; wait for another holder, naming it.
    Yields whether it had to wait."""
    lock = Lock(lock_file(work, stage, folder), f"writing {stage} in {folder}")
    who = waited = lock.acquire()
    if who:
        print(f"waiting: {who.told}", flush=True)
        end = time.monotonic() + patience_s
        while who := lock.acquire():
            if time.monotonic() > end:
                raise UserError(
                    f"{who.told}; this job has waited for {patience_s:.0f} s. End that process, or "
                    "wait for it, then run snakemake again."
                )
            time.sleep(_POLL_SECONDS)
    try:
        yield waited is not None
    finally:
        lock.release()
