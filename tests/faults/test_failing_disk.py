"""A disk that is full or fails at the N-th write of any writer.

Nothing half-written stands under a final name, results of before are as they were, the message
names the path and, when there is no room, the bytes needed; and a later run makes it all.
"""

import dataclasses
import errno
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastpipe.config.plan import Job
from fastpipe.files import digest, write_bytes
from fastpipe.integrity import read_record, verify

HOME = Path(__file__).parents[2]
SHIM = Path(__file__).with_name("failing_disk.c")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
WRITERS = (
    *("prepare", "pretrain", "features", "similarity", "scores"),
    *("finetune", "deploy", "forgetting", "collect", "report", "export"),
)
SHORTER = {
    "finetune": {"recipe": {"steps": 6}},
    "pretrain": {"epoch": 1.0},
    "report": {"formats": ["json"]},
}
"""Changes to specs, for time's sake."""


@pytest.fixture(scope="session")
def shim(tmp_path_factory) -> Path:
    """The library that makes writes fail."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler, to make a disk fail")
    library = tmp_path_factory.mktemp("shim") / "failing_disk.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, SHIM, "-ldl"]
    subprocess.run(command, check=True)
    return library


@pytest.fixture(scope="session")
def failing(shim, disk_server) -> Iterator[Any]:
    """A server whose children have a disk that can fail."""
    server = disk_server(LD_PRELOAD=str(shim))
    yield server
    server.close()


def merged(base: dict, over: dict) -> dict:
    return base | {k: merged(base[k], v) if isinstance(v, dict) else v for k, v in over.items()}


def again(job: Job) -> Job:
    """The job with a little less to do, and another identity: it runs although it is done."""
    spec = merged(json.loads(job.spec), SHORTER.get(job.stage, {}))
    identities = tuple((name, "another") for name, _ in job.identities)
    return dataclasses.replace(job, spec=json.dumps(spec), identities=identities)


def job_of(study: Any, stage: str) -> Job:
    if stage != "export":
        return again(study.job(stage))
    record = study.job("finetune").record
    return Job("export", Path("results/export"), "{}", "", "", (record,), (("none.json", "none"),))


def vouched(study: Any, job: Job) -> dict[str, str]:
    """Digests of a job's outputs, which must be as its records say; of an export, those there."""
    if job.stage == "export":
        card = json.loads((study.folder / "results/export/m.json").read_text())
        assert card["sha256"] == digest(study.folder / "results/export/m.safetensors")
        return {"m.safetensors": card["sha256"]}
    records = [study.folder / record for record in job.records]
    assert {read_record(record)["identity"] for record in records} == {"another"}
    found = {name: sha for record in records for name, sha in verify(record).items()}
    if job.stage == "collect":  # the bytes of a database are never the same
        return read_record(records[0])["facts"]["content"]
    if job.stage == "report":  # nor is a page that tells seconds
        found = {name: sha for name, sha in found.items() if "html" not in name}
    return found


@pytest.fixture
def trial(disturbed, failing) -> Callable[[str], Any]:
    """Studies whose last job of a stage is to run again, on a disk that can fail."""

    def make() -> Any:
        study = disturbed()
        study.server = failing
        return study

    return make


def chosen(tally: Any, count: int) -> list[int]:
    """Which writes fail: the last and one before it; in a campaign all."""
    if tally.whole:
        return list(range(1, count + 1))
    return [tally.random.randrange(1, count), count]


@pytest.mark.fault(11)
@pytest.mark.parametrize("stage", WRITERS)
def test_the_nth_write_of_a_stage_fails(stage, trial, tally):
    study = trial()
    job, count = job_of(study, stage), study.folder / "count"
    undisturbed = study.run(job, FAULT_AT=str(10**9), **disk(study, count, errno.ENOSPC))
    assert undisturbed.code == 0, undisturbed.said
    wanted = vouched(study, job)
    writes = count.stat().st_size
    assert writes >= 5
    for number in chosen(tally, writes):
        error = ERRORS[number % len(ERRORS)]
        tally.add("writes that failed")
        study = trial()
        before = study.made()
        attempt = study.run(job, FAULT_AT=str(number), **disk(study, count, error))
        assert "Traceback" not in attempt.said, f"{number} of {writes}\n{attempt.said}"
        if attempt.code:
            assert study.made() == before, f"{number} of {writes}"
            assert_told(attempt.said, error)
        if attempt.code and number % (5 if tally.whole else 1) == 0:
            attempt = study.run(job)
            assert attempt.code == 0, attempt.said
        if attempt.code == 0:
            assert vouched(study, job) == wanted, f"{number} of {writes}"
        shutil.rmtree(study.folder)
    tally.add("results lost", 0)


def disk(study: Any, count: Path, error: int) -> dict[str, str]:
    return {
        "FAULT_PATH": str(study.folder / "results"),
        "FAULT_ERRNO": str(error),
        "FAULT_COUNT": str(count),
    }


def assert_told(said: str, error: int) -> None:
    """The last line names a path in the results and, for a full disk, the bytes needed."""
    line = said.strip().splitlines()[-1]
    if error == errno.EIO:
        told = re.search(r"(write|making) (results/\S+): Input/output error\.", line)
    else:
        told = re.search(
            r"no space left on the device while (writing) (results/\S+?)"
            r"( \(Disk quota exceeded\))?: (at least )?[\d,]+ bytes are needed, [\d,]+ are free\.",
            line,
        )
    assert line.startswith("error: ") and told, line
    assert line.endswith("and run snakemake again."), line


@pytest.mark.fault(11)
def test_the_nth_write_of_a_small_file_fails(shim, tmp_path, tally):
    """Of `write_bytes`, which writes records; every N, in a process that need not import torch."""
    script = (
        "import sys; from pathlib import Path; from fastpipe.files import write_bytes\n"
        "from fastpipe.errors import UserError\n"
        "try: write_bytes(Path('results/a/x.bin'), b'new' * 1000)\n"
        "except UserError as error: sys.exit(f'error: {error}')\n"
    )
    place = {"FAULT_PATH": str(tmp_path / "results"), "FAULT_COUNT": str(tmp_path / "count")}
    for number in range(1, 50):
        target = tmp_path / "results" / "a" / "x.bin"
        write_bytes(target, b"old")
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=os.environ
            | place
            | {"PYTHONPATH": str(HOME)}
            | {"LD_PRELOAD": str(shim), "FAULT_AT": str(number), "FAULT_ERRNO": "28"},
            capture_output=True,
            text=True,
        )
        assert list(target.parent.iterdir()) == [target]
        if done.returncode == 0:
            break
        assert target.read_bytes() == b"old"
        assert "while writing results/a/x.bin: 3,000 bytes are needed" in done.stderr
        tally.add("writes that failed")
    assert target.read_bytes() == b"new" * 1000
    assert number == 5  # after the folder, a new file, its bytes, the flush


@pytest.mark.fault(11)
def test_a_limit_on_the_size_of_files(disturbed, server):
    study = disturbed()
    job, before = again(study.job("finetune")), study.made()
    process = server._process
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, -1))
    try:
        attempt = study.run(job)
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))
    assert attempt.code == 1
    line = attempt.said.strip().splitlines()[-1]
    assert re.search(
        r"while writing results/\S+ \(File too large\): (at least )?[\d,]+ bytes are needed", line
    ), line
    assert "Allow larger files (ulimit -f) and run snakemake again." in line
    assert study.made() == before
    assert study.run(job).code == 0


@pytest.mark.fault(11)
def test_a_log_that_cannot_be_written_costs_no_result(disturbed):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    study = disturbed()
    job = again(study.job("scores"))
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "fastpipe", *study.chain.arguments(job)],
            cwd=study.folder,
            env=os.environ | {"PYTHONPATH": str(study.chain.HOME)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert verify(study.folder / job.record)
