import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fastpipe.errors import UserError
from fastpipe.heartbeat import folder_of_heartbeats, heartbeat
from fastpipe.status.beats import PATIENCE, Beat, read_beats

WORK = Path("results/.work")
FOLDER = Path("results/runs/net@1/near/plain/seeds-0-4")
HOME = Path(__file__).parents[2]
CHILD = """
import sys, time
from pathlib import Path
from fastpipe.heartbeat import heartbeat
folder = Path("results/runs/net@1/near/plain/seeds-0-4")
with heartbeat(Path("results/.work"), "finetune", folder) as h:
    h.tell(step=5, total=20, unit="steps")
    h.write()
    print("beating", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def only() -> Beat:
    (beat,) = read_beats(WORK)
    return beat


def write(name: str = "finetune-1", **changes: Any) -> None:
    """A heartbeat of another host, as old as now unless told otherwise."""
    now = datetime.now(UTC).isoformat()
    facts = {"state": "running", "stage": "finetune", "folder": str(FOLDER), "host": "node-7"}
    facts |= {"pid": 1, "birth": "other 1", "started": now, "updated": now, "interval": 5.0}
    path = folder_of_heartbeats(WORK) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts | changes))


def test_a_running_job_is_read_as_it_was_told() -> None:
    with heartbeat(WORK, "finetune", FOLDER) as heart:
        heart.tell(step=3, total=9, unit="steps", run=[2, 5], images_per_s=4.5, top1=0.5)
        heart.write()
        beat = only()
    assert beat.state == "running" and beat.job == ("finetune", str(FOLDER))
    assert (beat.pid, beat.step, beat.total, beat.run) == (os.getpid(), 3, 9, (2, 5))
    assert (beat.images_per_s, beat.top1, beat.error) == (4.5, 0.5, ())
    assert read_beats(WORK) == []


def test_a_process_killed_with_signal_9_is_lost(tmp_path) -> None:
    environment = os.environ | {"PYTHONPATH": str(HOME)}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], env=environment, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "beating\n"
        assert only().state == "running"
        child.send_signal(signal.SIGKILL)
        end = time.monotonic() + 30  # a zombie, which nobody has waited for, does not live
        while only().state == "running" and time.monotonic() < end:
            time.sleep(0.01)
        assert only().state == "lost" and only().pid == child.pid and only().step == 5
    assert only().state == "lost"


def test_another_process_with_the_number_of_a_dead_one_does_not_pass_for_it() -> None:
    host = os.uname().nodename
    write(host=host, pid=os.getpid(), birth="another boot 12")
    assert only().state == "lost"


def test_a_host_that_is_not_heard_of_any_more_has_lost_its_jobs() -> None:
    now = datetime.now(UTC)
    for seconds, state in (
        (0, "running"),
        (5 * PATIENCE - 5, "running"),
        (5 * PATIENCE + 5, "lost"),
    ):
        write(updated=(now - timedelta(seconds=seconds)).isoformat())
        (beat,) = read_beats(WORK, now.timestamp())
        assert beat.state == state, seconds
    write(updated=(now - timedelta(days=1)).isoformat(), interval=86_400)
    assert only().state == "running"


def test_failed_ones_have_the_last_lines_of_their_log() -> None:
    log = Path("results/logs/runs/net@1/near/plain/seeds-0-4/finetune.log")
    log.parent.mkdir(parents=True)
    log.write_bytes(b"\n".join(b"line %d \xff" % n for n in range(5000)) + b"\n\nerror: no\n")
    with pytest.raises(UserError), heartbeat(WORK, "finetune", FOLDER):
        raise UserError("no")
    assert only().state == "failed" and only().log == str(log)
    assert only().error[-2:] == ("line 4999 \ufffd", "error: no") and len(only().error) == 6
    log.unlink()
    assert only().error == ("no",)


def test_files_that_are_torn_or_none_of_ours_are_passed_over() -> None:
    write("finetune-1")
    folder = folder_of_heartbeats(WORK)
    whole = (folder / "finetune-1.json").read_text()
    for end in range(len(whole)):
        (folder / "finetune-2.json").write_text(whole[:end])
        assert len(read_beats(WORK)) == 1, end
    for text in ("[]", "null", '{"state": "running"}', whole.replace("5.0", '"x"')):
        (folder / "finetune-2.json").write_text(text)
        assert len(read_beats(WORK)) == 1, text
    (folder / ".finetune-3.json.17").write_text(whole)
    assert len(read_beats(WORK)) == 1


def test_without_any_there_is_nothing_to_read() -> None:
    assert read_beats(WORK) == []


def test_as_json_times_are_text() -> None:
    write(run=[1, 5], step=3)
    found = json.loads(json.dumps(only().as_json()))
    assert found["run"] == [1, 5] and found["step"] == 3 and found["state"] == "running"
    assert datetime.fromisoformat(found["updated"]).tzinfo is not None
