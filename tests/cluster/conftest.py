"""A real SLURM for a session, and a tiny study in a folder of its own for each test."""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
accounting = _module("cluster_accounting", HERE / "accounting.py")
workflow = _module("cluster_workflow", HOME / "tests" / "workflow" / "conftest.py")
WANTED = os.environ.get("CLUSTER") == "yes"
"""`make test-cluster`: it installs SLURM if that is missing, and fails if it cannot be had."""

place, code = workflow.place, workflow.code

DIGITS = "results/datasets/own/card.json"

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
    if not WANTED:
        pytest.skip("it starts SLURM's daemons: make test-cluster")
    slurm.require(install=True)
    with slurm.running(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@dataclass
class Submitter(workflow.Site):
    """A site whose jobs go to the cluster."""

    profile: Path | None = None

    def own_profile(self, partition: str, account: str) -> Path:
        """As a user does: a copy of the profile with two lines edited."""
        self.profile = self.folder / "profile"
        shutil.copytree(self.code / "profiles" / "slurm", self.profile)
        file = self.profile / "profile.yaml"
        text = file.read_text()
        for line in (partition, account):
            key = line.partition(":")[0]
            text, edits = re.subn(rf"# {key}: .*", line, text)
            assert edits == 1
        file.write_text(text)
        return file

    def command(self, *arguments: str) -> list[str]:
        profile = str(self.profile or self.code / "profiles" / "slurm")
        quick = ["--latency-wait", "3", "--fastpipe-batch-wait", "20", "--retries", "0"]
        quick += ["--fastpipe-init-seconds-before-status-checks", "1"]
        return super().command("--profile", profile, *quick, *arguments)

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

    def local(self) -> workflow.Site:
        """The same folder, whose jobs run on this machine."""
        return workflow.Site(self.folder, self.code)

    @property
    def said(self) -> str:
        return (self.folder / "snakemake.txt").read_text()


def fresh(site: workflow.Site) -> Any:
    """The tiny study's configuration and pictures, nothing built."""
    (site.folder / "config").mkdir(parents=True)
    site.configure(STUDY, "study.yaml")
    workflow.write_pictures(site.folder / "images")
    return site


@pytest.fixture
def unbuilt(code, tmp_path) -> Submitter:
    """The tiny study, nothing built."""
    return fresh(Submitter(tmp_path / "site", code))


@pytest.fixture
def new(cluster, unbuilt) -> Submitter:
    """The same, for the cluster without accounting."""
    return unbuilt


@pytest.fixture(scope="session")
def built(cluster, place, code, timing_out) -> Submitter:
    """The tiny study, built on the cluster. Look, do not touch."""
    site = fresh(Submitter(place / "on the cluster", code))
    assert site.start_snakemake().wait() == 0, site.said
    return site


@pytest.fixture(scope="session")
def local(place, code, built) -> workflow.Site:
    """The tiny study, built on this machine."""
    site = fresh(workflow.Site(place / "local", code))
    site.run()
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
        time.sleep(0.1)
    return found


class Watch:
    """The SLURM jobs of a site: those that work in its folder."""

    def __init__(self, cluster: Any, folder: Path):
        self.cluster = cluster
        self.folder = str(folder)

    @property
    def jobs(self) -> dict[str, str]:
        """State by id, first things first."""
        text = self.cluster.ask("squeue", "--noheader", "--states=all", "--format=%i|%T|%Z")
        lines = [line.split("|") for line in text.splitlines()]
        mine = [(job, state) for job, state, folder in lines if folder == self.folder]
        return dict(sorted(mine, key=lambda item: int(item[0])))

    def wait(self, state: str, number: int = 1) -> str:
        """The id of the job with this number (from 1), once it is in a state."""

        def found() -> str | None:
            jobs = list(self.jobs.items())
            return (
                jobs[number - 1][0]
                if jobs[number - 1 :][:1] and jobs[number - 1][1] == state
                else None
            )

        return until(found, f"job {number} of {self.folder} is {state}")

    def memory(self) -> list[float]:
        """MiB that the jobs asked for."""
        units = {"M": 1, "G": 1024}
        asked = (self.cluster.detail(job)["MinMemoryNode"] for job in self.jobs)
        return [float(text[:-1]) * units[text[-1]] for text in asked]


class Busy:
    """Holds the lock of what a stage writes into a folder: a job that wants it waits."""

    def __init__(self, site: Submitter, stage: str, folder: str):
        place = (site.folder / "results" / folder).resolve()
        name = hashlib.sha256(f"{stage} {place}".encode()).hexdigest()[:32]
        path = site.path(".work", "locks", f"{name}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def end(self) -> None:
        self.file.close()


@pytest.fixture
def watch(cluster) -> Callable[[Submitter], Watch]:
    return lambda site: Watch(cluster, site.folder)


@pytest.fixture(name="until")
def until_() -> Callable[..., Any]:
    return until


@pytest.fixture
def watch_on() -> Callable[[Any, Submitter], Watch]:
    return lambda cluster, site: Watch(cluster, site.folder)


@pytest.fixture(scope="module")
def accounts(tmp_path_factory) -> Iterator[Any]:
    """A SLURM with accounting, in which the account `ours` may be used. It takes the other's
    ports, so its tests come first and it ends before that one starts."""
    if not WANTED:
        pytest.skip("it starts SLURM's daemons: make test-cluster")
    slurm.require(install=True)
    try:
        if not accounting.installed():
            slurm.apt_install(*accounting.PACKAGES)
    except slurm.Unavailable as error:
        pytest.skip(f"no accounting: {error}")
    with slurm.running(
        tmp_path_factory.mktemp("accounting"),
        lines=accounting.CONFIGURATION,
        before=lambda own: accounting.start(own, "ours"),
    ) as running:
        yield running


@pytest.fixture
def busy() -> type[Busy]:
    return Busy


@pytest.fixture(scope="session")
def timing_out(cluster, place, code) -> tuple[Submitter, Busy, subprocess.Popen]:
    """A job that takes longer than it may. SLURM allows no less than a minute, so it is started
    with the session and looked at last."""
    site = fresh(Submitter(place / "too long", code))
    lock = Busy(site, "prepare", "datasets/own")
    limits = ("--set-resources", "prepare:runtime=1+9*(attempt-1)", "prepare:slurm_extra=''")
    return site, lock, site.start_snakemake(*limits, "--retries", "1", "--", DIGITS)


def pytest_collection_modifyitems(items):
    """What has to wait for a minute comes last."""
    items.sort(key=lambda item: "time_limit" in item.name)
