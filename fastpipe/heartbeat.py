"""A running stage says how it is: a small file that is written anew every few seconds.

It says that the process lives (a thread of its own writes it, also while the stage computes or
waits) and how far it has come. After success it is removed; after an error it stays as a note of
what went wrong, until the same job runs again. Nothing depends on it: a heartbeat that cannot be
written, on a full disk for instance, disturbs no job, and it is not forced to the disk.

`fastpipe status` reads them (:mod:`fastpipe.status.beats`).
"""

import contextlib
import hashlib
import json
import os
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastpipe.errors import UserError

__all__ = [
    "INTERVAL_S",
    "Heartbeat",
    "birth",
    "folder_of_heartbeats",
    "heartbeat",
    "heartbeat_file",
]

INTERVAL_S = 5.0
"""Between two writes."""

_ERROR_LINES = 6
"""Last lines of an error that are kept."""


def folder_of_heartbeats(work: Path) -> Path:
    """Where the heartbeats lie; `work` is the `results/.work` folder."""
    return work / "heartbeats"


def heartbeat_file(work: Path, stage: str, folder: Path) -> Path:
    """The heartbeat of the job that writes `stage` in `folder`; there is one such job at a time."""
    name = hashlib.sha256(f"{stage} {folder}".encode()).hexdigest()[:16]
    return folder_of_heartbeats(work) / f"{stage}-{name}.json"


class Heartbeat:
    """What is said of a job. To :meth:`tell` something only changes a dict in memory.

    Args:
        file: where.
        facts: what does not change.
    """

    def __init__(self, file: Path, **facts: Any):
        self._file = file
        self._facts = facts
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def tell(self, **facts: Any) -> None:
        """Change what is said; JSON values. It is written with the next beat."""
        self._facts = self._facts | facts  # a new one: the thread may be reading the old

    def start(self) -> None:
        self.write()
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def write(self) -> None:
        """Write what is to be said now, whole or not at all."""
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        text = json.dumps(self._facts | {"updated": _now()}, indent=1)
        with contextlib.suppress(OSError):
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_text(text)
                temporary.replace(self._file)
            finally:
                temporary.unlink(missing_ok=True)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._file.unlink()

    def _beat(self) -> None:
        while not self._over.wait(INTERVAL_S):
            self.write()


@contextlib.contextmanager
def heartbeat(work: Path, stage: str, folder: Path) -> Iterator[Heartbeat]:
    """The heartbeat of a job, for as long as the block runs.

    An error of the block turns it into a note that says `failed`, with the error's last lines;
    being told to stop (an exception that is no Exception: Ctrl-C, preemption) into `stopped`.

    Args:
        work: the `results/.work` folder.
        stage: name of the stage.
        folder: the folder it writes to.
    """
    beating = Heartbeat(heartbeat_file(work, stage, folder), **_facts(work, stage, folder))
    beating.start()
    try:
        yield beating
    except BaseException as error:
        beating.stop()
        state = "failed" if isinstance(error, Exception) else "stopped"
        beating.tell(state=state, error=_last_lines(error))
        beating.write()
        raise
    beating.stop()
    beating.remove()


def _facts(work: Path, stage: str, folder: Path) -> dict[str, Any]:
    log = _log(work, stage, folder)
    return {
        "state": "running",
        "stage": stage,
        "folder": str(folder),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "birth": birth(os.getpid()),
        "started": _now(),
        "interval": INTERVAL_S,
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "log": str(log) if log else None,
    }


def birth(pid: int) -> str | None:
    """What tells a process from a later one with its number: the machine's boot, and the process's
    start in ticks since then. None if there is no such process, or no /proc."""
    try:
        # The command, in brackets, may hold spaces and brackets itself.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] == "Z":  # dead, and not yet waited for
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, IndexError):
        return None
    return f"{boot} {fields[19]}"


def _log(work: Path, stage: str, folder: Path) -> Path | None:
    """Where the rules have Snakemake put a job's log; None if it was started otherwise."""
    results = work.parent
    try:
        log = results / "logs" / folder.relative_to(results) / f"{stage}.log"
    except ValueError:
        return None
    return log if log.exists() else None


def _last_lines(error: BaseException) -> list[str]:
    if isinstance(error, UserError) or not isinstance(error, Exception):
        lines = (str(error) or type(error).__name__).splitlines()
    else:
        lines = "".join(traceback.format_exception(error)).splitlines()
    return lines[-_ERROR_LINES:]


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
