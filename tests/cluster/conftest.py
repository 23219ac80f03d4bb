"""A real SLURM for a session, and a tiny study in a folder of its own for each test."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
HOME = HERE.parents[1]


def _module(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


slurm = _module("cluster_slurm", HERE / "slurm.py")
workflow = _module("cluster_workflow", HOME / "tests" / "workflow" / "conftest.py")
WANTED = os.environ.get("CLUSTER") == "yes"
"""`make test-cluster`: install SLURM if it is missing, and fail, rather than skip, if it cannot be
had."""

place, code = workflow.place, workflow.code

STUDY = workflow.merged(
    workflow.STUDY,
    {
        "sources": {"net": {"snapshots": [0, 1]}},
        "studies": {"tiny": {"claims": []}},
    },
)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Any]:
    """SLURM on this machine."""
    try:
        slurm.require(install=WANTED)
    except slurm.Unavailable as error:
        if WANTED:
            raise
        pytest.skip(str(error))
    with slurm.running(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@dataclass
class Submitter(workflow.Site):
    """A site whose jobs go to the cluster."""

    options: list[str] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        profile = str(self.code / "profiles" / "slurm")
        quick = ["--latency-wait", "3", "--fastpipe-batch-wait", "3", "--retries", "0"]
        quick += ["--fastpipe-init-seconds-before-status-checks", "1"]
        return super().command("--profile", profile, *quick, *self.options, *arguments)

    @property
    def environment(self) -> dict[str, str]:
        paths = [self.code, self.code / "workflow" / "executor" / "src"]
        return super().environment | {"PYTHONPATH": os.pathsep.join(map(str, paths))}

    def start_snakemake(self, *arguments: str) -> subprocess.Popen:
        """A snakemake that is looked at while it works; its output is in `snakemake.txt`."""
        with (self.folder / "snakemake.txt").open("wb") as output:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return (self.folder / "snakemake.txt").read_text()


@pytest.fixture
def new_site(cluster, code, tmp_path) -> Callable[..., Submitter]:
    """Make a working directory of its own with the tiny study, perhaps changed."""

    def make(changes: dict[str, Any] | None = None, name: str = "site") -> Submitter:
        site = Submitter(tmp_path / name, code)
        (site.folder / "config").mkdir(parents=True)
        study = workflow.merged(STUDY, changes or {})
        (site.folder / "config" / "study.yaml").write_text(json.dumps(study))
        workflow.write_pictures(site.folder / "images")
        return site

    return make


@pytest.fixture(scope="session")
def built(cluster, place, code) -> Submitter:
    """The tiny study, built on the cluster. Look, do not touch."""
    site = Submitter(place / "on the cluster", code)
    (site.folder / "config").mkdir(parents=True)
    site.configure(STUDY, "study.yaml")
    workflow.write_pictures(site.folder / "images")
    before = set(cluster.jobs())
    site.run()
    site.slurm_jobs = {job: s for job, s in cluster.jobs().items() if job not in before}
    return site


@pytest.fixture
def site(built, tmp_path) -> Submitter:
    """A copy of the built study."""
    return built.copy(tmp_path / "Kopie für mich")


def until(true: Callable[[], Any], what: str, patience_s: float = 60.0) -> Any:
    """Wait for something, and return it."""
    end = time.time() + patience_s
    while not (found := true()):
        assert time.time() < end, f"{what}: not within {patience_s:.0f} s"
        time.sleep(0.2)
    return found


@pytest.fixture(scope="session", name="until")
def until_() -> Callable[..., Any]:
    return until
