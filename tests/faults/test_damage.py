"""Flipped bits and truncated files: found at the point of use, by the audit of the Snakefile and
by `fastpipe verify`, which names the file and the command that makes it again."""

import contextlib
import json
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastpipe.audit import State, audit
from fastpipe.config.load import load, yaml_files
from fastpipe.config.plan import Job, Plan
from fastpipe.errors import UserError
from fastpipe.integrity import verify
from fastpipe.verification import Rebuild, verify_results

KINDS = {
    "states": "results/runs/*/*/*/*/states/*.safetensors",
    "tables of runs": "results/runs/*/*/*/*/*.parquet",
    "weights": "results/sources/*/*/weights.safetensors",
    "optimiser states": "results/sources/*/*/training.safetensors",
    "histories": "results/sources/*/*/history.parquet",
    "features": "results/features/*/*/*.safetensors",
    "flows": "results/similarity/*/*/*.parquet",
    "arrays": "results/datasets/*/*.npy",
    "cards": "results/datasets/*/card.json",
    "databases": "results/studies/*/study.duckdb",
    "pages": "results/studies/*/report.html",
    "charts": "results/studies/*/charts/*",
    "records": "results/*/**/*.json",
}


@pytest.fixture
def study(disturbed, monkeypatch) -> Any:
    """A copy of the tiny study, whose folder is the working directory; it has been looked at."""
    found = disturbed()
    monkeypatch.chdir(found.folder)
    found.plan = Plan(load([yaml_files(Path("config"))]))
    audit(found.jobs)
    return found


def owners(jobs: list[Job]) -> dict[Path, tuple[Job, Path]]:
    """Every vouched file, and every record, with its job and record."""
    found = {}
    for job in jobs:
        for record in job.records:
            found[record] = (job, record)
            found |= {record.parent / name: (job, record) for name in verify(record)}
    return found


def drawn(files: dict[Path, Any], tally: Any, count: int) -> Iterator[Path]:
    """Files of all kinds in turn."""
    kinds = {kind: [f for f in files if f.match(mask)] for kind, mask in KINDS.items()}
    kinds["records"] = [f for f in files if f == files[f][1]]
    assert all(kinds.values()), [kind for kind, found in kinds.items() if not found]
    for number in range(count):
        yield tally.random.choice(list(kinds.values())[number % len(kinds)])


@contextlib.contextmanager
def altered(file: Path, change: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """Other bytes in the same file, with the times of before."""
    before, status = file.read_bytes(), file.stat()
    file.write_bytes(change(before))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    yield before
    file.write_bytes(before)


def assert_detected(study: Any, file: Path, job: Job, record: Path) -> None:
    with pytest.raises(UserError) as raised:
        verify(record)
    assert str(file) in str(raised.value)
    assert "run snakemake again to rebuild it." in str(raised.value)

    found = audit(study.jobs)
    derived = job.stage in ("collect", "report")
    assert len(found.rebuilt) == derived and len(found.damages) == (not derived)
    assert str(file) in str((found.rebuilt + found.damages)[0])
    if derived:
        assert found.state(job) is State.STALE

    (damage,) = verify_results(study.plan, "tiny").damaged
    assert (damage.record, damage.removed) == (record, (record,))
    assert str(file) in damage.reasons[0]
    command = Rebuild().command(damage.removed, [damage.record])
    assert shlex.split(command) == ["rm", str(record), "&&", "snakemake", str(record)]


@pytest.mark.fault(12)
def test_a_flipped_bit_is_detected(study, tally):
    files = owners(study.jobs)
    for file in drawn(files, tally, tally.times(50, 1000)):

        def flip(content: bytes) -> bytes:
            bit = tally.random.randrange(8 * len(content))
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            return bytes(flipped)

        with altered(file, flip) as before:
            if files[file][1] == file and same_values(before, file.read_bytes()):
                continue
            assert_detected(study, file, *files[file])
        tally.add("flips")
    tally.add("undetected", 0)
    assert verify_results(study.plan, "tiny").damaged == []


def same_values(before: bytes, after: bytes) -> bool:
    """Whether a record says the same with other signs: 1E-05 is 1e-05."""
    try:
        return json.loads(before) == json.loads(after)
    except ValueError:
        return False


@pytest.mark.fault(13)
def test_a_truncated_or_empty_file_is_detected(study, tally):
    files = owners(study.jobs)
    for number, file in enumerate(drawn(files, tally, tally.times(26, 260))):
        shorter = 0 if number % 2 else tally.random.randrange(file.stat().st_size)
        with altered(file, lambda content: content[:shorter]):  # noqa: B023
            assert_detected(study, file, *files[file])
        tally.add("truncated files")
    tally.add("undetected", 0)


@pytest.mark.fault(13)
@pytest.mark.parametrize("kind", ["states", "arrays", "optimiser states", "records", "databases"])
def test_a_truncated_file_is_made_again(study, tally, kind):
    before = comparable(study)
    files = owners(study.jobs)
    file = tally.random.choice(
        [f for f in files if f.match(KINDS[kind]) and "charts" not in str(f)]
    )
    os.truncate(file, file.stat().st_size // 2)
    refused = study.run()
    if kind != "databases":
        assert refused.code == 1 and f"{file} is damaged" in refused.said
        file.unlink()
        assert study.run().code == 0
    assert comparable(study) == before
    assert verify_results(study.plan, "tiny").damaged == []


def comparable(study: Any) -> dict[str, bytes]:
    """All results whose bytes are the same every time."""
    return {name: content for name, content in study.made().items() if "studies" not in name}


@pytest.mark.fault(12)
def test_timings_logs_and_benchmarks_are_not_vouched_for(study):
    job = study.job("scores")
    timing = job.folder / "scores.timing.json"
    timing.write_bytes(timing.read_bytes().replace(b"seconds", b"secondz"))
    assert verify_results(study.plan, "tiny").damaged == []
    assert audit(study.jobs).damages == []
