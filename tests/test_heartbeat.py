import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

import fastpipe.heartbeat as module
from fastpipe.errors import UserError
from fastpipe.heartbeat import birth, heartbeat, heartbeat_file
from fastpipe.stages.job import stage_job

WORK = Path("results/.work")
FOLDER = Path("results/runs/net@1/near/plain/seeds-0-4")
FILE = heartbeat_file(WORK, "finetune", FOLDER)


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def said() -> dict:
    return json.loads(FILE.read_text())


def test_it_says_who_works_on_what_since_when(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    log = Path("results/logs/runs/net@1/near/plain/seeds-0-4/finetune.log")
    log.parent.mkdir(parents=True)
    log.touch()
    with heartbeat(WORK, "finetune", FOLDER):
        facts = said()
    assert facts["stage"] == "finetune" and facts["folder"] == str(FOLDER)
    assert (facts["pid"], facts["host"]) == (os.getpid(), os.uname().nodename)
    assert facts["birth"] == birth(os.getpid())
    assert facts["slurm_job"] == "4711" and facts["log"] == str(log)
    age = datetime.now(UTC) - datetime.fromisoformat(facts["started"])
    assert 0 <= age.total_seconds() < 60
    assert facts["started"] <= facts["updated"]


def test_after_success_it_is_gone():
    with heartbeat(WORK, "finetune", FOLDER):
        assert FILE.exists()
    assert list(FILE.parent.iterdir()) == []


def test_it_beats_while_the_job_computes_and_says_what_it_was_told_last(monkeypatch):
    monkeypatch.setattr(module, "INTERVAL_S", 0.01)
    with heartbeat(WORK, "finetune", FOLDER) as heart:
        first = said()["updated"]
        heart.tell(step=3)
        heart.tell(step=4, top1=0.5)
        end = time.monotonic() + 30
        while said().get("step") != 4 and time.monotonic() < end:
            time.sleep(0.01)
        assert said()["updated"] > first and said()["top1"] == 0.5


def test_an_error_leaves_its_last_lines():
    with pytest.raises(UserError), heartbeat(WORK, "finetune", FOLDER) as heart:
        heart.tell(step=7)
        raise UserError("\n".join(f"line {n}" for n in range(10)))
    assert said()["state"] == "failed" and said()["step"] == 7
    assert said()["error"] == [f"line {n}" for n in range(4, 10)]


def test_an_unexpected_error_leaves_the_end_of_its_traceback():
    with pytest.raises(ZeroDivisionError), heartbeat(WORK, "finetune", FOLDER):
        1 / 0  # noqa: B018
    assert said()["error"][-1] == "ZeroDivisionError: division by zero"
    assert any("1 / 0" in line for line in said()["error"])


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(143)])
def test_being_told_to_stop_is_no_failure(end):
    with pytest.raises(type(end)), heartbeat(WORK, "finetune", FOLDER):
        raise end
    assert said()["state"] == "stopped"
    assert said()["error"] == [str(end) or "KeyboardInterrupt"]


def test_a_job_that_runs_again_forgets_the_failure():
    with pytest.raises(UserError), heartbeat(WORK, "finetune", FOLDER):
        raise UserError("no")
    with heartbeat(WORK, "finetune", FOLDER):
        assert said()["state"] == "running" and "error" not in said()
    assert not FILE.exists()


def test_a_heartbeat_that_cannot_be_written_disturbs_no_job():
    WORK.mkdir(parents=True)
    (WORK / "heartbeats").write_text("in the way")
    with heartbeat(WORK, "finetune", FOLDER) as heart:
        heart.write()
    assert (WORK / "heartbeats").read_text() == "in the way"


def test_every_stage_has_one_with_its_progress():
    with stage_job("finetune", FOLDER, spec={}, identity="i", work=WORK) as job:
        with job.progress("plain on near", 4, images=10, device="cpu") as progress:
            progress.reach(2, top1=0.25)
        job.heart.write()
        found = said()
    assert (found["step"], found["total"], found["unit"]) == (2, 4, "steps")
    assert (found["top1"], found["device"]) == (0.25, "cpu")
    assert found["images_per_s"] > 0
    assert not FILE.exists() and (FOLDER / "finetune.json").exists()


def test_every_job_has_its_own():
    other = Path("results/runs/net@1/near/plain/seeds-5-9")
    jobs = [("finetune", FOLDER), ("deploy", FOLDER), ("finetune", other)]
    assert len({heartbeat_file(WORK, *job) for job in jobs}) == 3


def test_birth_tells_a_process_from_others():
    assert birth(os.getpid()) == birth(os.getpid()) is not None
    assert birth(os.getpid()) != birth(1)
    assert birth(2**22 + 1) is None  # above the largest process id
