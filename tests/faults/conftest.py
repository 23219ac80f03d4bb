"""What tests of kills share: the tiny study of `chain.py`, built once, and copies of it."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def chain() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chain", Path(__file__).with_name("chain.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def server(chain) -> Iterator[Any]:
    made = chain.Server()
    yield made
    made.close()


SAVES = "results/.work/*/seed-{}/*.safetensors"


class Chained:
    """The tiny study in a folder, run by the server."""

    def __init__(self, folder: Path, chain: ModuleType, server: Any, jobs: list[Any]):
        self.folder, self.chain, self.server, self.jobs = folder, chain, server, jobs

    def job(self, stage: str) -> Any:
        """The last job of a stage."""
        return next(job for job in reversed(self.jobs) if job.stage == stage)

    def without(self, *jobs: Any) -> "Chained":
        """Removes the records of jobs, which must run again."""
        for job in jobs:
            for record in job.records:
                (self.folder / record).unlink()
        return self

    def start(self, *jobs: Any, **environment: str) -> Any:
        return self.server.start(self.folder, jobs or self.jobs, environment)

    def run(self, *jobs: Any, **environment: str) -> Any:
        return self.server.run(self.folder, jobs or self.jobs, **environment)

    def steps(self) -> list[str]:
        """A line for each training step of unfinished jobs."""
        logs = self.folder.glob("results/.work/*/steps.log")
        return [line for log in logs for line in log.read_text().split("\n") if " " in line]

    def unsaved_steps(self) -> int:
        """Steps of the present run after its last save."""
        last = self.steps()[-1].split()
        if [*self.folder.glob(f"results/.work/*/seed-{last[0]}.json")]:
            return 0
        saves = [int(f.name.split("-")[0]) for f in self.folder.glob(SAVES.format(last[0]))]
        return int(last[1]) - max(saves, default=0)

    def timing(self, stage: str) -> dict[str, Any]:
        file = self.folder / self.job(stage).folder / f"{stage}.timing.json"
        return json.loads(file.read_text())

    def made(self) -> dict[str, bytes]:
        """All results but what differs from run to run: a database has an identifier of its own,
        whose digest stands in two records (which name its content, too)."""
        results = self.folder / "results"
        files = [f for f in sorted(results.rglob("*")) if f.is_file()]
        return {
            str(file.relative_to(results)): _masked(file)
            for file in files
            if not file.name.endswith((".timing.json", ".duckdb"))
            and ".seen" not in file.name
            and file.relative_to(results).parts[0] != ".work"
        }

    def made_by(self, job: Any) -> dict[str, bytes]:
        """Of these, what lies in the folder of a job."""
        place = str(job.folder.relative_to("results"))
        return {name: content for name, content in self.made().items() if name.startswith(place)}

    def copy(self, folder: Path) -> "Chained":
        ignored = shutil.ignore_patterns("chain.log")
        shutil.copytree(self.folder, folder, ignore=ignored)
        return Chained(folder, self.chain, self.server, self.jobs)


def _masked(file: Path) -> bytes:
    """Its bytes, without the digest of a database's file and the seal, which covers it."""
    if file.name not in ("collect.json", "report.json"):
        return file.read_bytes()
    record = json.loads(file.read_text())
    for digests in (record["inputs"], record["outputs"]):
        for name in [name for name in digests if name.endswith(".duckdb")]:
            del digests[name]
    del record["seal"]
    return json.dumps(record).encode()


@pytest.fixture(scope="session")
def whole(chain, server, tmp_path_factory) -> Chained:
    """The tiny study, built undisturbed. Look, do not touch."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = Chained(folder, chain, server, chain.plan(folder))
    attempt = found.run()
    assert attempt.code == 0, attempt.said
    return found


@pytest.fixture
def disturbed(whole, tmp_path) -> Callable[[], Chained]:
    """Copies of the built study."""
    count = iter(range(10**6))

    def copy() -> Chained:
        folder = tmp_path / str(next(count))
        return whole.copy(folder)

    return copy


@pytest.fixture(scope="session")
def disk_server(chain) -> Callable[..., Any]:
    """Start a server of `disk_server.py` in some environment."""

    def start(**environment: str) -> Any:
        server = chain.Server.__new__(chain.Server)
        server._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("disk_server.py"))],
            env=os.environ | {"PYTHONPATH": str(chain.HOME), "OMP_NUM_THREADS": "1"} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return server

    return start
