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

    def timing(self, stage: str) -> dict[str, Any]:
        file = self.folder / self.job(stage).folder / f"{stage}.timing.json"
        return json.loads(file.read_text())

    def made(self) -> dict[str, bytes]:
        """All results but what differs from run to run."""
        results = self.folder / "results"
        return {
            str(file.relative_to(results)): file.read_bytes()
            for file in sorted(results.rglob("*"))
            if file.is_file()
            and not file.name.endswith((".timing.json", ".seen"))
            and file.relative_to(results).parts[0] != ".work"
        }


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
        shutil.copytree(whole.folder, folder, ignore=shutil.ignore_patterns("chain.log"))
        return Chained(folder, whole.chain, whole.server, whole.jobs)

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
