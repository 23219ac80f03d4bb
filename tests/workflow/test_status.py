"""What `fastpipe status` says while a real snakemake works, and when it has ended."""

import json
import os
import signal
import subprocess
import time

import pytest

from fastpipe.heartbeat import folder_of_heartbeats
from fastpipe.status.beats import read_beats

pytestmark = pytest.mark.workflow

PACK = "results/runs/net@1/pictures/quick/seeds-0-1"


def status(site, *arguments: str) -> str:
    with site.start("status", *arguments) as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def test_a_real_run_is_seen_while_it_works(site):
    site.configure({"recipes": {"quick": {"steps": 3000}}})
    work = site.path(".work")
    with subprocess.Popen(
        site.command("--cores", "1", f"{PACK}/finetune.json"),
        cwd=site.folder,
        env=site.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        while run.poll() is None and not any(beat.step for beat in read_beats(work)):
            time.sleep(0.05)
        (beat,) = read_beats(work)
        os.kill(beat.pid, signal.SIGSTOP)  # else it may have ended before `status` has started
        try:
            seen = json.loads(status(site, "--json"))
            text = status(site, "tiny")
        finally:
            os.kill(beat.pid, signal.SIGCONT)
        printed, _ = run.communicate()
    assert run.returncode == 0, printed
    (job,) = seen["jobs"]
    assert (job["stage"], job["folder"], job["state"]) == ("finetune", PACK, "running")
    assert 0 < job["step"] <= job["total"] == 6000
    assert job["run"][1] == 2 and job["device"] == "cpu" and job["images_per_s"] > 0
    assert 0 <= job["top1"] <= 1
    assert job["log"] == "results/logs/runs/net@1/pictures/quick/seeds-0-1/finetune.log"
    assert seen["study"]["stages"]["finetune"]["running"] == 1
    assert "net@1 → pictures" in text and "quick, seeds 0-1" in text
    assert not list(folder_of_heartbeats(work).iterdir())
    assert status(site, "tiny").startswith("Nothing is running.")
    log = (site.folder / job["log"]).read_text().splitlines()
    assert log[0] == "quick on pictures: 6,000 steps"
    assert log[-1].startswith("quick on pictures: 6,000 of 6,000 steps done in ")
