"""The jobs of a tiny study in a process that can be killed, without Snakemake's and torch's start.

One server process (`python chain.py`) has everything imported. For each :class:`Attempt` it forks
a child in a process group of its own, which looks at the results as the Snakefile does and runs
every job that is not current, one after the other, through `fastpipe`'s command line.
"""

import contextlib
import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastpipe.audit import State, audit
from fastpipe.config.load import load, yaml_files
from fastpipe.config.names import STAGES
from fastpipe.config.plan import Plan
from fastpipe.files import canonical_json

HOME = Path(__file__).parents[2]

STUDY: dict[str, Any] = {
    "settings": {
        "compute": {"device": "cpu", "precision": "fp32", "threads": 1},
        "pack_seeds": 2,
        "default_study": "tiny",
    },
    "datasets": {
        name: {
            "providers": [{"kind": "sklearn", "name": "digits"}],
            **{"size": size, "channels": 1, "validation": 0.2},
            **{"train_per_class": 20, "test_per_class": 5},
        }
        for name, size in (("own", 12), ("other", 10))
    },
    "sources": {
        "net": {
            "dataset": "own",
            "backbone": {"name": "small-cnn", "widths": [4, 8]},
            **{"epochs": 10, "snapshots": [0, 10], "batch_size": 20},
        }
    },
    "recipes": {"plain": {"alpha": 0.05, "beta": 0.05, "steps": 150, "batch_size": 20}},
    "studies": {
        "tiny": {
            "title": "A tiny study",
            "seeds": 2,
            "claims": [],
            "forgetting": True,
            "arms": {"a": {"recipe": "plain", "snapshots": ["net@last"], "targets": ["other"]}},
        }
    },
}


def plan(folder: Path) -> list[Any]:
    """The study's jobs, inputs before their users; writes `config/` into the folder."""
    file = folder / "config" / "study.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(STUDY))
    *others, report = Plan(load([yaml_files(file.parent)])).jobs("tiny")
    quick = canonical_json(json.loads(report.spec) | {"formats": ["json"]})
    return [*others, replace(report, spec=quick)]


def arguments(job: Any) -> list[str]:
    """What its rule calls `fastpipe` with."""
    identities = canonical_json(dict(job.identities))
    common = [job.stage, f"--spec={job.spec}", f"--identity={identities}"]
    read = {path.stem: str(path) for path in reversed(job.reads)}
    start = [f"--snapshot={read.get('pretrain')}", f"--dataset={read.get('prepare-train')}"]
    similar = [f"--source={job.reads[0]}", f"--target={job.reads[-1]}"] if job.reads else []
    evaluation = [
        *(f"--pack={read.get('finetune')}", f"--snapshot={read.get('pretrain')}"),
        f"--dataset={read.get('prepare-test')}",
    ]
    more = {
        "prepare": ["--downloads=downloads"],
        "pretrain": [f"--dataset={read.get('prepare-train')}", f"--start={_before(job)}"],
        "features": start,
        "similarity": similar,
        "scores": [f"--features={read.get('features')}"],
        "finetune": start,
        "deploy": evaluation,
        "forgetting": evaluation,
        "collect": [],
        "report": [f"--database={read.get('collect')}"],
    }
    out = next(iter(job.records))
    return [*common, f"--out={out}", *more[job.stage]]


def _before(job: Any) -> str:
    """Epoch 10 continues from epoch 0."""
    first = job.folder.name == "epoch-0"
    return "" if first else str(job.folder.with_name("epoch-0") / "pretrain.json")


class Server:
    """Forks a child for each attempt."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | {"PYTHONPATH": str(HOME), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def start(
        self, folder: Path, jobs: Sequence[Any], environment: Mapping[str, str] | None = None
    ) -> "Attempt":
        """Begin to run those of the jobs that are not current."""
        pid = self.ask((str(folder), list(jobs), dict(environment or {})))
        return Attempt(self, pid, folder)

    def ask(self, request: Any) -> int:
        """A process number for a job to start; for a process number, how that process ended."""
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)

    def run(self, folder: Path, jobs: Sequence[Any], **environment: str) -> "Attempt":
        """An attempt that has ended by itself."""
        attempt = self.start(folder, jobs, environment)
        attempt.wait()
        return attempt

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


class Attempt:
    """A child at work."""

    def __init__(self, server: Server, pid: int, folder: Path):
        self._server, self.pid, self.log = server, pid, folder / "chain.log"
        self.code: int | None = None
        """How it ended: its exit code, or minus the signal that ended it."""

    def wait(self) -> int:
        if self.code is None:
            self.code = self._server.ask(self.pid)
        return self.code

    def is_running(self) -> bool:
        """Whether it has not ended (nobody has waited for it yet)."""
        return is_running(self.pid)

    def signal(self, number: int) -> None:
        """To the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> int:
        self.signal(signal.SIGKILL)
        return self.wait()

    @property
    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def is_running(pid: int) -> bool:
    """Whether there is such a process, zombies aside."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- the server's side ----------------------------------------------------------------------------


_IMPORTED = (
    "fastpipe.cli",
    *(f"fastpipe.stages.{stage}" for stage in STAGES),
    # what stages import when they come to it
    *("sklearn.datasets", "torch._dynamo", "ot", "duckdb", "altair", "vl_convert"),
)


def _serve() -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if isinstance(request, int):
            _answer(os.waitstatus_to_exitcode(os.waitpid(request, 0)[1]))
            continue
        child = os.fork()
        if child == 0:
            _become(*request)
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(child, child)  # before anyone kills the group
        _answer(child)


def _answer(value: int) -> None:
    pickle.dump(value, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _become(folder: str, jobs: list[Any], environment: dict[str, str]) -> None:
    """In a child: run what is not current, and end as `fastpipe` does."""
    code = 1
    try:
        with contextlib.suppress(PermissionError):
            os.setpgid(0, 0)
        os.chdir(folder)
        os.environ.update(environment)
        log = os.open("chain.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for stream in (1, 2):
            os.dup2(log, stream)
        code = _run(jobs)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(jobs: list[Any]) -> int:
    """Save at every validation; a crash in between is then worth trying."""
    from fastpipe.training import resumption

    resumption.LEAST_INTERVAL_SECONDS, resumption.LARGEST_SHARE = 0.0, 1e9
    from fastpipe.cli import main

    found = audit(jobs)
    found.refuse_damage()
    for job in jobs:
        if found.state(job) is State.CURRENT:
            continue
        print("runs", job.stage, job.folder, time.time(), flush=True)
        sys.argv = ["fastpipe", *arguments(job)]
        try:
            main()
        except SystemExit as end:
            if end.code:
                return int(end.code)
    return 0


if __name__ == "__main__":
    _serve()
