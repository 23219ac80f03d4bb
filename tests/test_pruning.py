import errno
import io
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from rich.console import Console

from fastpipe.config.names import WORK
from fastpipe.config.plan import Job
from fastpipe.errors import UserError
from fastpipe.locks import Lock
from fastpipe.pruning import find_prunable, print_prunable, remove
from fastpipe.stages.job import lock_file, stage_job
from fastpipe.strays import find_strays

FORK = multiprocessing.get_context("fork")


class Planned:
    """A plan of one target."""

    def __init__(self, *jobs: Job):
        self.targets, self._jobs = {"study": None}, jobs

    def jobs(self, target: str) -> list[Job]:
        return list(self._jobs)


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def job(name: str, stage: str = "scores", identity: str = "right") -> Job:
    folder = Path("results/similarity") / name
    return Job(stage, folder, "{}", "code", "", (), ((f"{stage}.json", identity),))


def do(job: Job) -> Job:
    """Run it as a stage would, with a log and a benchmark."""
    with stage_job(job.stage, job.folder, spec={}, identity=job.identity, work=WORK) as running:
        running.output("a.parquet").write_bytes(b"12345")
        running.output("states/b.bin").write_bytes(b"1234567")
    for kind, suffix in (("logs", "log"), ("benchmarks", "tsv")):
        file = Path("results", kind, job.folder.relative_to("results"), f"{job.stage}.{suffix}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    (job.folder / "states" / ".snakemake_timestamp").touch()
    return job


def tree(folder: str = "results") -> list[str]:
    """Files below a folder, those of `.work` left out."""
    files = (path for path in Path(folder).rglob("*") if path.is_file() or path.is_symlink())
    return sorted(str(path) for path in files if ".work" not in path.parts)


def test_what_no_study_asks_for_is_removed_and_nothing_else() -> None:
    kept = do(job("kept"))
    before = tree()
    gone = do(job("gone"))
    found = find_prunable(Planned(kept))
    (leftover,) = found.results
    assert leftover.path == gone.record
    assert {path.name for path in leftover.files} == {
        *("scores.json", "scores.timing.json", ".scores.seen", "a.parquet", "b.bin"),
        *("scores.log", "scores.tsv"),
    }
    assert leftover.bytes == sum(path.stat().st_size for path in leftover.files) > 12
    assert (found.running, found.unknown) == ([], [])
    assert remove(found.all) == []
    assert tree() == before
    assert not gone.folder.exists() and not Path("results/logs/similarity/gone").exists()
    assert find_prunable(Planned(kept)).all == []


def test_looking_removes_nothing() -> None:
    do(job("gone"))
    before = tree()
    find_prunable(Planned())
    assert tree() == before


def test_a_stage_that_is_not_asked_for_leaves_a_folder_that_others_share() -> None:
    deploy, forgetting = (do(job("pack", stage)) for stage in ("deploy", "forgetting"))
    (leftover,) = find_prunable(Planned(deploy)).results
    assert leftover.path == forgetting.record
    Path("results/similarity/pack/deploy.json").unlink()
    # Without the record of `deploy`, nobody knows which of the other files are its own.
    assert find_strays([deploy]).files == []


def test_files_of_unknown_origin_stay() -> None:
    gone = do(job("gone"))
    mine = gone.folder / "my notes.txt"
    mine.write_text("mine")
    found = find_prunable(Planned())
    assert found.unknown == [mine]
    remove(found.all)
    assert tree() == [str(mine)]


def test_an_output_outside_of_its_folder_is_not_touched() -> None:
    gone, other = do(job("gone")), Path("../outside.bin")
    other.write_text("mine")
    record = json.loads(gone.record.read_text())
    del record["seal"]
    record["outputs"] |= {"../../../../outside.bin": "0" * 64, str(other.resolve()): "0" * 64}
    gone.record.write_text(json.dumps(record))
    remove(find_prunable(Planned()).all)
    assert not gone.record.exists()
    assert other.read_text() == "mine"


def test_links_are_not_followed() -> None:
    gone, outside = do(job("gone")), Path("../outside")
    (outside / "deep").mkdir(parents=True)
    (outside / "b.bin").write_text("mine")
    (gone.folder / "states" / "b.bin").unlink()
    (gone.folder / "states" / "b.bin").symlink_to((outside / "b.bin").resolve())
    elsewhere = Path("results/similarity/linked")
    elsewhere.symlink_to(outside.resolve(), target_is_directory=True)
    with stage_job("scores", elsewhere / "deep", spec={}, identity="x", work=WORK) as running:
        running.output("a.parquet").touch()
    found = find_prunable(Planned())
    assert [leftover.path for leftover in found.results] == [gone.record]
    assert found.unknown == [elsewhere]
    remove(found.all)
    assert (outside / "b.bin").read_text() == "mine"
    assert (outside / "deep" / "scores.json").exists() and elsewhere.is_symlink()


def test_a_link_that_leads_outside_meanwhile_is_refused(tmp_path: Path) -> None:
    gone = do(job("gone"))
    found = find_prunable(Planned())
    gone.folder.rename(tmp_path / "outside")
    gone.folder.symlink_to(tmp_path / "outside")
    with pytest.raises(Exception, match="lies outside of results; nothing is removed there"):
        remove(found.all)
    assert (tmp_path / "outside" / "scores.json").exists()


def _hold(running: Job, started: Any, end: Any) -> None:
    with stage_job(running.stage, running.folder, spec={}, identity="2", work=WORK) as job:
        job.output("a.parquet").write_bytes(b"2")
        started.set()
        end.wait()


def test_what_a_job_is_at_work_on_stays() -> None:
    gone = do(job("gone"))
    started, end = FORK.Event(), FORK.Event()
    before = find_prunable(Planned())
    other = FORK.Process(target=_hold, args=(gone, started, end), daemon=True)
    other.start()
    started.wait()
    found = find_prunable(Planned())
    assert found.results == []
    running = [(one.path, holder.pid) for one, holder in found.running]
    assert (gone.record, other.pid) in running
    assert f"{gone.record} (process {other.pid} on " in printed()
    (stayed,) = remove(before.results)
    assert (stayed[0].path, stayed[1].what) == (gone.record, f"writing scores in {gone.folder}")
    end.set()
    other.join()
    assert other.exitcode == 0 and gone.record.exists()


def fail(failing: Job) -> Path:
    """Begin a job that fails; its work folder."""
    places = []
    with (
        pytest.raises(RuntimeError),
        stage_job(
            failing.stage, failing.folder, spec={}, identity=failing.identity, work=WORK
        ) as running,
    ):
        places.append(running.work)
        (running.work / "checkpoint").write_bytes(b"123")
        raise RuntimeError
    return places[0]


def test_work_folders_that_nobody_takes_up_again_are_removed() -> None:
    wanted, changed, done, gone = (job(name) for name in ("wanted", "changed", "done", "gone"))
    places = {each.folder.name: fail(each) for each in (wanted, changed, done, gone)}
    do(done)
    places["done"].mkdir(exist_ok=True)  # left by an attempt that was killed while tidying up
    (places["done"] / "job.json").write_text(
        json.dumps({"stage": "scores", "folder": str(done.folder), "identities": {"scores": "x"}})
    )
    torn = WORK / ("0" * 32)
    torn.mkdir()
    (WORK / "stale").write_text("x")
    found = find_prunable(Planned(wanted, job("changed", identity="another"), done))
    work = {leftover.path for leftover in found.work if leftover.path.parent == WORK}
    assert work == {places["changed"], places["done"], places["gone"], torn}
    remove(found.all)
    assert [p.name for p in places.values() if p.exists()] == [places["wanted"].name]
    assert (places["wanted"] / "checkpoint").exists()
    assert (WORK / "stale").exists() and not torn.exists()


def test_locks_of_jobs_that_are_asked_for_stay() -> None:
    kept, gone = do(job("kept")), do(job("gone"))
    locks = [lock_file(WORK, each.stage, each.folder) for each in (kept, gone)]
    assert all(lock.exists() for lock in locks)
    other = WORK / "locks" / "gpu-0.lock"
    other.touch()
    remove(find_prunable(Planned(kept)).all)
    assert [lock.exists() for lock in (*locks, other)] == [True, False, True]
    assert list(other.parent.glob("*.json")) == []  # who held them
    orphan = WORK / "locks" / f"{'1' * 32}.lock"
    orphan.touch()
    remove(find_prunable(Planned(kept)).all)
    assert not orphan.exists()


def test_a_full_disk_can_be_pruned(monkeypatch) -> None:
    do(job("gone"))
    found = find_prunable(Planned())
    no_room = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("tempfile.mkstemp", Mock(side_effect=no_room))
    with pytest.raises(UserError, match="no space left"):
        Lock(found.results[0].lock, "writing").acquire()
    assert remove(found.all) == [] and tree() == []


def printed(*jobs: Job) -> str:
    text = io.StringIO()
    print_prunable(find_prunable(Planned(*jobs)), Console(file=text, width=60))
    return text.getvalue()


def test_the_listing_names_paths_bytes_and_the_total() -> None:
    gone = do(job("gone"))
    (gone.folder / "note").write_text("12")
    (leftover,) = find_prunable(Planned()).results
    assert printed() == (
        "Counted as asked for: all studies of the configuration at all their scales.\n"
        "Results that nobody asks for:\n"
        f"  {leftover.bytes:>15,} bytes  results/similarity/gone/scores.json\n"
        "Stays, as no record vouches for it (remove it yourself if you know what it is):\n"
        "                2 bytes  results/similarity/gone/note\n"
        f"To be removed: 7 files, {leftover.bytes:,} bytes.\n"
    )
    os.unlink(gone.folder / "note")  # noqa: PTH108
    remove(find_prunable(Planned()).all)
    assert printed().endswith("To be removed: 0 files, 0 bytes.\n")
