"""A tiny study built once by a real snakemake run, and copies of it to try things on."""

import contextlib
import functools
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from filelock import FileLock
from PIL import Image
from sklearn.datasets import load_digits

from fastpipe.warm import ADDRESS

HOME = Path(__file__).parents[2]
STUDY = {
    "settings": {
        "compute": {"device": "cpu", "precision": "fp32", "threads": 1},
        "pack_seeds": 2,
        "default_study": "tiny",
    },
    "datasets": {
        "own": {
            "providers": [{"kind": "sklearn", "name": "digits"}],
            **{"size": 12, "channels": 1, "validation": 0.2},
            **{"train_per_class": 30, "test_per_class": 6},
        },
        "pictures": {
            "providers": [{"kind": "folder", "path": "images"}],
            **{"size": 12, "channels": 1, "validation": 0.25, "transforms": ["rotate-180"]},
        },
    },
    "sources": {
        "net": {
            "dataset": "own",
            "backbone": {"name": "small-cnn", "widths": [4, 8]},
            **{"epochs": 1, "snapshots": [0, 0.5, 1], "batch_size": 20},
        }
    },
    "recipes": {
        "quick": {"alpha": 0.1, "beta": 0.01, "head_init": "normal", "steps": 10, "batch_size": 20},
        "plain": {"alpha": 0.05, "beta": 0.05, "steps": 10, "batch_size": 20},
        "warm": {"warmup": "frozen-stats", "warmup_patience": 2, "steps": 10, "batch_size": 20},
    },
    "studies": {
        "tiny": {
            "title": "A tiny study",
            "seeds": 2,
            "claims": ["A5", "A7"],
            "arms": {
                label: {"recipe": recipe, "role": label, "snapshots": ["net@last"]}
                | {"targets": ["pictures"]}
                for label, recipe in (("fast", "quick"), ("baseline", "plain"), ("warmup", "warm"))
            },
        }
    },
}
"""In JSON, which is YAML too."""

CLASSES = ("null", "die Eins", "zwei & <b>", "fünf")
SEEDS = "seeds-0-1"


@dataclass
class Site:
    """A working directory: its own `config/`, `images/` and `results/`, and the code it runs."""

    folder: Path
    code: Path
    snakefile: Path | None = None
    """A Snakefile other than the code's."""

    def snakemake(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
        """Run snakemake here with the code's Snakefile; its two streams are one."""
        command, folder = self.command(*arguments), cwd or self.folder
        if "PYTHONPATH" not in self.environment:  # which is read when Python starts
            return _forked(command, folder, self.environment)
        return subprocess.run(
            command,
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def command(self, *arguments: str) -> list[str]:
        program = Path(sys.executable).with_name("snakemake")
        return [
            str(program),
            "--snakefile",
            str(self.snakefile or self.code / "Snakefile"),
            *arguments,
        ]

    @property
    def environment(self) -> dict[str, str]:
        # Compiled code is kept, whatever the machine's habit: every job would compile it anew.
        return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start a stage as a rule does."""
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("fastpipe")), *arguments],
            cwd=self.folder,
            env=self.environment | {"PYTHONPATH": str(self.code)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def copy(self, folder: Path, *, code: Path | None = None) -> Self:
        """Copy everything, notes of Snakemake's included."""
        shutil.copytree(self.folder, folder)
        return type(self)(folder, code or self.code)

    def plan(self, *arguments: str, cwd: Path | None = None) -> set[str]:
        """Jobs that a dry run announces, each as `stage folder`."""
        done = self.snakemake("--dry-run", "--printshellcmds", *arguments, cwd=cwd)
        assert done.returncode == 0, done.stdout
        jobs = [job for line in done.stdout.splitlines() if (job := _announced(line))]
        assert len(set(jobs)) == len(jobs)
        return set(jobs)

    def run(self, *arguments: str) -> set[str]:
        """Jobs that a real run finishes; it must end well."""
        with self.finished() as jobs:
            done = self.snakemake(*arguments)
            assert done.returncode == 0, done.stdout
        return jobs

    def fail(self, *arguments: str) -> str:
        """What snakemake prints when it refuses or fails, in one line; never a traceback."""
        done = self.snakemake(*arguments)
        assert done.returncode != 0, done.stdout
        assert "Traceback" not in done.stdout
        return " ".join(done.stdout.split())

    @contextlib.contextmanager
    def finished(self) -> Iterator[set[str]]:
        """The set of jobs that end well inside the block: their timing files are new."""
        before, jobs = self._timings(), set()
        yield jobs
        jobs |= {job for job, stamp in self._timings().items() if before.get(job) != stamp}

    def _timings(self) -> dict[str, int]:
        results = self.folder / "results"
        return {
            f"{file.name.split('.')[0]} {file.parent.relative_to(results)}": file.stat().st_mtime_ns
            for file in results.rglob("*.timing.json")
        }

    def jobs(
        self, recipe: str, *stages: str, seeds: str = SEEDS, snapshot: str = "net@1"
    ) -> set[str]:
        """Jobs of a pack: those of the given stages, or all three."""
        folder = f"runs/{snapshot}/pictures/{recipe}/{seeds}"
        return {f"{stage} {folder}" for stage in stages or ("finetune", "deploy", "forgetting")}

    def summary(self, study: str = "tiny") -> set[str]:
        """Jobs that follow whenever anything changes."""
        return {f"{stage} studies/{study}" for stage in ("collect", "report")}

    def configure(self, changes: dict[str, Any], name: str = "") -> None:
        """Write a file of the configuration; without a name, the study's with changes merged in.

        (Files of one folder do not override each other. What was merged in before is forgotten.)
        """
        config, study = self.folder / "config", self.folder / "config" / "study.json"
        if name == "study.yaml":
            study.write_text(json.dumps(changes))
        if not name:
            changes, name = merged(json.loads(study.read_text()), changes), "study.yaml"
        (config / name).write_text(json.dumps(changes))

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath("results", *parts)

    def pack(self, recipe: str, *parts: str) -> Path:
        return self.path("runs/net@1/pictures", recipe, SEEDS, *parts)

    def bytes(self, folder: str = "", *, but: str = ".work") -> dict[str, bytes]:
        """Content of all result files below a folder, what differs from run to run left out.

        `but` leaves out a top folder of the results as well.
        """
        varying = (".timing.json", ".seen", ".tsv", ".log")
        files = {file.relative_to(self.path()): file for file in self.path(folder).rglob("*")}
        return {
            str(name): file.read_bytes()
            for name, file in sorted(files.items())
            if file.is_file()
            and not name.name.endswith(varying)
            and name.parts[0] not in (".work", but)
        }


@functools.cache
def _snakemakes() -> subprocess.Popen:
    """The process that forks; it ends with this one, as its input does."""
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("snakemakes.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _forked(
    command: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess:
    """Run snakemake as `subprocess.run` would."""
    with tempfile.NamedTemporaryFile("r") as output:
        request = {"arguments": command[1:], "folder": str(folder), "environment": environment}
        process = _snakemakes()
        print(json.dumps(request | {"output": output.name}), file=process.stdin, flush=True)
        code = int(process.stdout.readline())
        return subprocess.CompletedProcess(command, code, output.read())


def merged(base: Any, over: Any) -> Any:
    """Mappings merged by key; anything else replaced."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return base | {key: merged(base.get(key), value) for key, value in over.items()}


def _announced(line: str) -> str | None:
    if not line.startswith("Shell command:") or "fastpipe" not in line:
        return None
    # Only the ends: shlex takes milliseconds for a spec, and a study may have thousands.
    stage = line.partition("fastpipe ")[2].split(maxsplit=1)[0]
    out, *_ = shlex.split(line.rpartition(" --out=")[2])
    return f"{stage} {Path(out).parent.relative_to('results')}"


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    """A folder with a space and an umlaut in its path; all workers (pytest-xdist) have the same."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "workflow" / "Häuser mit Platz"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def made_once(folder: Path) -> Iterator[bool]:
    """Whether a folder is still to be made, inside the block; other workers wait for its end."""
    done = folder.with_name(f"{folder.name}.done")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        yield not done.exists()
        done.touch()


@pytest.fixture(scope="session")
def code(place) -> Path:
    """A copy of the code, so that edits during the tests change nothing."""
    folder = place / "code"
    with made_once(folder) as to_do:
        if to_do:
            _copy_code(folder)
    return folder


def _copy_code(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    shutil.copy2(HOME / "Snakefile", folder)
    for name in ("workflow", "profiles", "config", "fastpipe"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(HOME / name, folder / name, ignore=ignored, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def loaded(place) -> Path:
    """Folder that gets, from every stage that runs, a list of the modules it has loaded."""
    folder = place / "loaded"
    hook = f"""
import atexit, pathlib, sys
def tell():
    stage = sys.argv[1] if len(sys.argv) > 1 else ""
    names = [name for name in sys.modules if name.startswith("fastpipe")]
    if "fastpipe.stages.job" in names:
        pathlib.Path({str(folder)!r}, stage).write_text(" ".join(names))
atexit.register(tell)
"""
    with made_once(folder) as to_do:
        if to_do:
            (folder / "hook").mkdir(parents=True, exist_ok=True)
            (folder / "hook" / "sitecustomize.py").write_text(hook)
    return folder


@pytest.fixture(scope="session")
def built(place, code, loaded) -> Site:
    """The tiny study, built. Look, do not touch."""
    site = Site(place / "tiny", code)
    with made_once(site.folder) as to_do:
        if to_do:
            (site.folder / "config").mkdir(parents=True, exist_ok=True)
            site.configure(STUDY, "study.yaml")
            write_pictures(site.folder / "images")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PYTHONPATH", str(loaded / "hook"))
                patch.setenv(ADDRESS, "off")  # a child of a warm process has all stages' imports
                site.run()
    return site


def write_pictures(folder: Path, train: int = 12, test: int = 4) -> None:
    """Four classes of small grey pictures in `train` and `test`."""
    digits = load_digits()
    for label, name in enumerate(CLASSES):
        images = digits.images[digits.target == label][: train + test]
        for number, pixels in enumerate(images):
            split = "train" if number < train else "test"
            file = folder / split / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 15).astype("uint8")).save(file)


@pytest.fixture
def elsewhere(code, tmp_path) -> Site:
    """An empty working directory."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return Site(folder, code)


@pytest.fixture
def copy(built, tmp_path) -> Callable[..., Site]:
    """Make a copy of the built study, perhaps with other code."""
    return lambda **code: built.copy(tmp_path / "Kopie für mich", **code)


@pytest.fixture
def site(copy) -> Site:
    """A copy of the built study."""
    return copy()
