import contextlib
import json
import multiprocessing
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fastpipe.config.model import Model
from fastpipe.errors import UserError
from fastpipe.files import digest
from fastpipe.integrity import read_record, verify
from fastpipe.stages import job as job_module
from fastpipe.stages.job import Job, Part, stage_job

SPAWN = multiprocessing.get_context("fork")


class Spec(Model):
    """What a stage of these tests is asked for."""

    size: int
    names: tuple[str, ...] = ("a",)


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def work(content: bytes = b"1", **changes: Any) -> Job:
    """Run a small stage that writes two files; returns the job."""
    arguments = {"spec": Spec(size=3), "identity": "id", "work": Path("results/.work")} | changes
    with stage_job("stage", Path("results/here"), **arguments) as job:
        job.output("a.bin").write_bytes(content)
        job.output("states/b.bin").write_bytes(content * 2)
    return job


def record(name: str = "stage") -> dict[str, Any]:
    return json.loads(Path(f"results/here/{name}.json").read_text())


def tree(folder: str = "results/here") -> list[str]:
    """Files below a folder, hidden ones left out."""
    files = (p.relative_to(folder) for p in Path(folder).rglob("*") if p.is_file())
    return sorted(p.as_posix() for p in files if not p.name.startswith("."))


def source(content: bytes = b"in") -> Path:
    """A stage's result that others read; returns its record."""
    with stage_job(
        "source", Path("results/from"), spec={}, identity="source", work=Path("results/.work")
    ) as job:
        job.output("x.bin").write_bytes(content)
        job.output("y.bin").write_bytes(b"y")
    return Path("results/from/source.json")


# --- the result ---------------------------------------------------------------------------------


def test_outputs_come_with_a_record_and_a_timing() -> None:
    work(packages=["filelock"])
    assert tree() == ["a.bin", "stage.json", "stage.timing.json", "states/b.bin"]
    found = record()
    assert read_record(Path("results/here/stage.json")) == {
        key: value for key, value in found.items() if key != "seal"
    }
    assert len(found.pop("seal")) == 64
    assert found.pop("versions").keys() == {"filelock"}
    assert found == {
        "stage": "stage",
        "identity": "id",
        "spec": {"size": 3, "names": ["a"]},
        "inputs": {},
        "outputs": {
            name: digest(Path("results/here") / name) for name in ("a.bin", "states/b.bin")
        },
        "facts": {},
    }
    timing = record("stage.timing")
    assert timing.keys() == {"seconds", "host"}
    assert 0 <= timing["seconds"] < 60


def test_the_record_is_the_same_every_time() -> None:
    work()
    first = Path("results/here/stage.json").read_bytes()
    work()
    assert Path("results/here/stage.json").read_bytes() == first


def test_facts_go_into_the_record_and_measures_beside_it() -> None:
    with stage_job("stage", Path("o"), spec={}, identity="id", work=Path("w")) as job:
        job.output("a.bin").touch()
        job.state_fact(classes=["cat", "dog"], steps=3)
        job.measure(peak_bytes=7)
        job.measure(host="elsewhere")
    assert json.loads(Path("o/stage.json").read_text())["facts"] == {
        "classes": ["cat", "dog"],
        "steps": 3,
    }
    timing = json.loads(Path("o/stage.timing.json").read_text())
    assert (timing["peak_bytes"], timing["host"]) == (7, "elsewhere")
    assert socket.gethostname() not in Path("o/stage.json").read_text()


def test_written_files_can_be_read_by_the_group() -> None:
    before = os.umask(0o027)
    try:
        with stage_job("stage", Path("o"), spec={}, identity="id", work=Path("w")) as job:
            os.close(os.open(job.output("private.bin"), os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    for name in ("private.bin", "stage.json", "stage.timing.json"):
        assert stat.S_IMODE(Path("o", name).stat().st_mode) == 0o640, name


def test_nothing_is_left_in_the_work_folder_after_success() -> None:
    job = work()
    assert not job.work.exists()
    assert tree("results/.work") and all("locks/" in name for name in tree("results/.work"))


def test_outputs_of_before_that_are_not_written_again_are_gone_from_folders() -> None:
    with stage_job("stage", Path("o"), spec={}, identity="1", work=Path("w")) as job:
        for step in (1, 2, 3):
            job.output(f"states/{step}.bin").touch()
    with stage_job("stage", Path("o"), spec={}, identity="2", work=Path("w")) as job:
        job.output("states/9.bin").touch()
    assert tree("o") == ["stage.json", "stage.timing.json", "states/9.bin"]


def test_stages_that_share_a_folder_leave_each_others_files() -> None:
    work()
    with stage_job("other", Path("results/here"), spec={}, identity="o", work=Path("w")) as job:
        job.output("c.bin").touch()
    assert set(verify(Path("results/here/stage.json"))) == {"a.bin", "states/b.bin"}
    assert set(verify(Path("results/here/other.json"))) == {"c.bin"}


# --- parts --------------------------------------------------------------------------------------


def test_parts_have_records_of_their_own() -> None:
    parts = {
        "train": Part({"size": 3}, ["train.bin"]),
        "test": Part({"size": 3, "limit": 1}, ["test.bin", "card.json"]),
    }
    identities = {"train": "id 1", "test": "id 2"}
    with stage_job(
        "stage", Path("o"), spec={"x": 1}, identity=identities, work=Path("w"), parts=parts
    ) as job:
        for name in ("train.bin", "test.bin", "card.json"):
            job.output(name).write_text(name)
        job.state_fact(classes=2, train={"count": 7}, test={"count": 1})
    train, test = (json.loads(Path(f"o/stage-{part}.json").read_text()) for part in parts)
    assert not Path("o/stage.json").exists()
    assert (train["identity"], test["identity"]) == ("id 1", "id 2")
    assert (train["spec"], test["spec"]) == ({"size": 3}, {"size": 3, "limit": 1})
    assert train["facts"] == {"classes": 2, "count": 7}
    assert test["facts"] == {"classes": 2, "count": 1}
    assert train["outputs"].keys() == {"train.bin"}
    assert test["outputs"].keys() == {"test.bin", "card.json"}
    assert set(verify(Path("o/stage-test.json"))) == {"test.bin", "card.json"}


def test_a_part_without_its_output_is_an_error_and_leaves_nothing() -> None:
    parts = {"train": Part({}, ["train.bin"])}
    arguments = {"spec": {}, "identity": {"train": "x"}, "work": Path("w"), "parts": parts}
    with (
        pytest.raises(KeyError, match=r"train\.bin"),
        stage_job("stage", Path("o"), **arguments) as job,
    ):
        job.output("other.bin").touch()
    assert tree("o") == []


# --- inputs -------------------------------------------------------------------------------------


def test_inputs_are_recorded_with_their_digests() -> None:
    upstream = source()
    with stage_job("stage", Path("o"), spec={}, identity="id", work=Path("w")) as job:
        path = job.input(upstream, "x.bin")
        job.input(upstream, "y.bin", recorded=False)
        job.output("a.bin").write_bytes(path.read_bytes())
    assert path == Path("results/from/x.bin")
    inputs = json.loads(Path("o/stage.json").read_text())["inputs"]
    assert inputs == {"results/from/x.bin": digest(path)}


def test_a_damaged_input_is_refused_and_the_result_of_before_stays() -> None:
    upstream = source()
    work()
    before = {name: (Path("results/here") / name).read_bytes() for name in tree()}
    Path("results/from/x.bin").write_bytes(b"IN")
    with (
        pytest.raises(UserError, match=r"from/x\.bin is damaged"),
        stage_job("stage", Path("results/here"), spec={}, identity="id", work=Path("w")) as job,
    ):
        job.output("a.bin").write_bytes(b"new")
        job.input(upstream, "x.bin")
    assert {name: (Path("results/here") / name).read_bytes() for name in tree()} == before


# --- errors and kills ---------------------------------------------------------------------------


def test_after_an_error_the_result_of_before_stands_and_the_work_is_kept() -> None:
    work()
    before = {name: (Path("results/here") / name).read_bytes() for name in tree()}
    places: list[Path] = []
    with (
        pytest.raises(RuntimeError, match="half-way"),
        stage_job("stage", Path("results/here"), spec={}, identity="2", work=Path("w")) as job,
    ):
        job.output("a.bin").write_bytes(b"half")
        (job.work / "checkpoint").write_bytes(b"step 7")
        places.append(job.work)
        raise RuntimeError("half-way")
    assert {name: (Path("results/here") / name).read_bytes() for name in tree()} == before
    with stage_job("stage", Path("results/here"), spec={}, identity="2", work=Path("w")) as job:
        assert job.work == places[0]
        assert (job.work / "checkpoint").read_bytes() == b"step 7"
        assert job.outputs() == []  # half-written outputs are not taken over
        job.output("a.bin").write_bytes(b"new")
    assert Path("results/here/a.bin").read_bytes() == b"new"
    assert not places[0].exists()


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"size": 4}},
        {"identity": "another"},
        {"folder": Path("elsewhere")},
        {"stage": "other"},
        {"reads": True},
    ],
)
def test_a_work_folder_belongs_to_one_declaration(change: Mapping[str, Any]) -> None:
    upstream = source()

    def place(**changes: Any) -> Path:
        arguments = {"stage": "stage", "folder": Path("o"), "spec": {"size": 3}, "identity": "id"}
        arguments |= changes
        stage, folder = arguments.pop("stage"), arguments.pop("folder")
        with stage_job(stage, folder, work=Path("w"), **arguments) as job:
            return job.work

    if "reads" in change:
        before = place(reads=[upstream])
        source(b"other bytes")
        assert place(reads=[upstream]) != before
    else:
        assert place() == place()
        assert place(**change) != place()


@pytest.mark.parametrize("moment", ["digest", "flush_all", "write_json", "remember"])
def test_a_fault_while_publishing_leaves_no_record_that_vouches_for_other_files(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(b"old")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(job_module, moment, fail)
        told = pytest.raises(UserError, match=r"cannot write results/here/.*: Input/output error")
        with told if moment != "remember" else contextlib.nullcontext():
            work(b"new", identity="2")
    path = Path("results/here/stage.json")
    if path.exists():  # whatever it says is true
        verify(path)
    work(b"new", identity="2")
    assert Path("results/here/a.bin").read_bytes() == b"new"
    assert record()["identity"] == "2"


def test_a_full_disk_is_a_user_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(job_module, "flush_all", fail)
    with pytest.raises(UserError, match="no space left on the device while writing"):
        work()
    assert not Path("results/here/stage.json").exists()


# --- the lock -----------------------------------------------------------------------------------


def _hold(started: Any, seconds: float) -> None:
    with stage_job("stage", Path("o"), spec={}, identity="id", work=Path("w")) as job:
        started.set()
        time.sleep(seconds)
        job.output("a.bin").write_bytes(b"first")


@pytest.mark.parametrize("identity", ["id", "another"])
def test_a_second_writer_waits_and_names_the_first(
    capfd: pytest.CaptureFixture[str], identity: str
) -> None:
    """If the first has done the same job, there is nothing left to do for the second."""
    started = SPAWN.Event()
    other = SPAWN.Process(target=_hold, args=(started, 0.4))
    other.start()
    started.wait()
    begun, wrote = time.monotonic(), False
    with (
        contextlib.suppress(SystemExit),
        stage_job("stage", Path("o"), spec={}, identity=identity, work=Path("w")) as job,
    ):
        assert Path("o/a.bin").read_bytes() == b"first"
        job.output("a.bin").write_bytes(b"second")
        wrote = True
    assert time.monotonic() - begun > 0.2
    other.join()
    assert other.exitcode == 0
    assert wrote is (identity == "another")
    assert Path("o/a.bin").read_bytes() == (b"second" if wrote else b"first")
    said = capfd.readouterr().out
    host = socket.gethostname()
    assert f"waiting: process {other.pid} on {host} has been writing stage in o since " in said
    assert ("nothing is left to do" in said) is not wrote


def test_patience_ends_with_the_name_of_the_holder() -> None:
    started = SPAWN.Event()
    other = SPAWN.Process(target=_hold, args=(started, 60))
    other.start()
    started.wait()
    told = pytest.raises(UserError, match=f"process {other.pid} on .* has been writing stage in o")
    with told, job_module._lock(Path("w"), Path("o"), "stage", patience_s=0.1):
        pass
    os.kill(other.pid, signal.SIGKILL)
    other.join()


def test_the_lock_of_a_killed_process_is_free() -> None:
    started = SPAWN.Event()
    other = SPAWN.Process(target=_hold, args=(started, 60))
    other.start()
    started.wait()
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    assert not Path("o/stage.json").exists()
    with stage_job("stage", Path("o"), spec={}, identity="id", work=Path("w")) as job:
        job.output("a.bin").write_bytes(b"second")
    assert Path("o/stage.json").exists()


def test_stages_and_folders_do_not_wait_for_others() -> None:
    work_folder = Path("w")
    with (
        job_module._lock(work_folder, Path("o"), "stage", patience_s=0),
        job_module._lock(work_folder, Path("o"), "other", patience_s=0),
        job_module._lock(work_folder, Path("p"), "stage", patience_s=0),
    ):
        held = {path.stem for path in (work_folder / "locks").glob("*.lock")}
    assert len(held) == 3


def test_many_writers_at_once_give_one_whole_result() -> None:
    def write(number: int) -> None:
        with stage_job("stage", Path("o"), spec={}, identity=f"{number}", work=Path("w")) as job:
            for name in ("a.bin", "b.bin"):
                job.output(name).write_text(f"{number}")
                time.sleep(0.002)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verify(Path("o/stage.json"))
    identity = json.loads(Path("o/stage.json").read_text())["identity"]
    assert Path("o/a.bin").read_text() == Path("o/b.bin").read_text() == identity
