"""What running and failed jobs say of themselves: their heartbeats, and whether they still live."""

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fastpipe.heartbeat import INTERVAL_S, birth, folder_of_heartbeats

__all__ = ["PATIENCE", "Beat", "read_beats"]

PATIENCE = 12
"""A process of another host that has not been heard of for this many intervals is lost. (Clocks
of hosts may differ; a minute is more than they should.)"""

_LOG_LINES = 6
_LOG_BYTES = 8192


@dataclass(frozen=True)
class Beat:
    """A heartbeat as it was read.

    Attributes:
        state: `running`; `failed` by an error; `stopped` when told to; `lost` without a word: its
            process is gone, or its host has not been heard of.
        stage: name of the stage.
        folder: where it writes.
        host: where it runs or ran.
        pid: its process there.
        started: when.
        updated: when it was last heard of.
        step: units done, of `total`.
        unit: what is counted.
        run: (which run of a pack, of how many).
        rate: units a second.
        images_per_s: images a second, if images are what it takes.
        seconds_left: for this job.
        device: what it computes on.
        top1: last validation accuracy.
        slurm_job: number of the cluster's job.
        log: path of its log, if there is one.
        error: last lines of the log, or else of the error.
    """

    state: str
    stage: str
    folder: str
    host: str
    pid: int
    started: datetime
    updated: datetime
    step: int | None = None
    total: int | None = None
    unit: str | None = None
    run: tuple[int, int] | None = None
    rate: float | None = None
    images_per_s: float | None = None
    seconds_left: float | None = None
    device: str | None = None
    top1: float | None = None
    slurm_job: str | None = None
    log: str | None = None
    error: tuple[str, ...] = ()

    @property
    def job(self) -> tuple[str, str]:
        """Stage and folder, which name a job."""
        return self.stage, self.folder

    def as_json(self) -> dict[str, Any]:
        """As JSON values; times in ISO 8601, UTC."""
        times = {name: getattr(self, name).isoformat() for name in ("started", "updated")}
        return vars(self) | times | {"error": list(self.error)}


def read_beats(work: Path, now: float | None = None) -> list[Beat]:
    """All heartbeats, by stage and folder. Files that are torn or none of ours are passed over.

    Args:
        work: the `results/.work` folder.
        now: seconds since the epoch; default: by this machine's clock.
    """
    now = time.time() if now is None else now
    beats = []
    for file in folder_of_heartbeats(work).glob("*.json"):
        try:
            beats.append(_beat(json.loads(file.read_bytes()), now))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # written anew in a few seconds, if there is anybody to write it
    return sorted(beats, key=lambda beat: beat.job)


def _beat(facts: Mapping[str, Any], now: float) -> Beat:
    state = facts["state"]
    updated = datetime.fromisoformat(facts["updated"])
    if state == "running" and not _lives(facts, now - updated.timestamp()):
        state = "lost"
    own = {name: facts[name] for name in Beat.__dataclass_fields__ if name in facts}
    run = facts.get("run")
    return Beat(
        **own
        | {
            "state": state,
            "pid": int(facts["pid"]),
            "started": datetime.fromisoformat(facts["started"]),
            "updated": updated,
            "run": (int(run[0]), int(run[1])) if run else None,
            "error": () if state == "running" else _last_words(facts),
        }
    )


def _lives(facts: Mapping[str, Any], age: float) -> bool:
    if facts["host"] != socket.gethostname():
        return age <= PATIENCE * float(facts.get("interval", INTERVAL_S))
    pid = int(facts["pid"])
    if facts.get("birth") is None:  # a system without /proc
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    return birth(pid) == facts["birth"]


def _last_words(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Of the log if there is one, else of the error, if there was one."""
    try:
        with Path(facts.get("log")).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except (OSError, TypeError):
        lines = []
    return tuple([line for line in lines if line.strip()][-_LOG_LINES:] or facts.get("error") or ())
