"""Told to stop (SIGTERM, SIGUSR1) and killed soon after: training goes on from the very step."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastpipe.warm import ADDRESS, Warm

pytestmark = pytest.mark.fault(7)
HOME = Path(__file__).parents[2]
TOLD = re.compile(r"stopped by (SIG\w+) after step (\d+); run it again to go on")


def after_steps(site, pid, count):
    """Wait until so many steps have been taken."""
    while len(site.steps()) < count:
        assert site.chain.is_running(pid), "it ended too soon"
        time.sleep(0.002)


def start_as_a_rule_does(site, job, address):
    """`fastpipe` in a process of its own; cold without a warm process's address."""
    return subprocess.Popen(
        [sys.executable, "-m", "fastpipe", *site.chain.arguments(job)],
        cwd=site.folder,
        env=os.environ | {"PYTHONPATH": str(HOME), "OMP_NUM_THREADS": "1", ADDRESS: address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended_within(attempt, seconds) -> bool:
    """Whether it ends in that time."""
    end = time.monotonic() + seconds
    while attempt.is_running() and time.monotonic() < end:
        time.sleep(0.01)
    return not attempt.is_running()


@pytest.mark.parametrize("grace", [30, 2, 0])
@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_preempted_training_goes_on_to_the_same_bytes(disturbed, whole, tally, stage, grace):
    for number in (signal.SIGTERM, signal.SIGUSR1)[: tally.times(1 if grace == 2 else 2, 2)]:
        site = disturbed()
        job = site.job(stage)
        site.without(job)
        attempt = site.start(job)
        after_steps(
            site, attempt.pid, tally.random.randrange(2, 60 if stage == "pretrain" else 200)
        )
        attempt.signal(number)
        in_time = ended_within(attempt, grace)
        code = attempt.kill()
        assert not (site.folder / job.record).exists()
        again = site.run(job)
        assert again.code == 0, again.said
        assert site.made() == whole.made()
        told, timing = TOLD.search(again.said), site.timing(stage)
        if grace == 30:
            assert in_time and code == 143 and told
        if told:
            assert code == 143 and told[1] == number.name
            assert timing["repeated_steps"] == 0 and timing["starts"] == 2
            assert f"goes on after step {told[2]}\n" in again.said
            tally.add("steps saved at a signal")
        tally.add(f"preemptions, {grace} s")
        tally.add("changed", 0)


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    process = Warm(tmp_path_factory.mktemp("warm") / "warm.log")
    yield process
    process.close()


@pytest.mark.parametrize(("start", "number"), [("cold", signal.SIGUSR1), ("warm", signal.SIGTERM)])
def test_cold_or_warm_the_job_alone_is_told(disturbed, whole, warm, start, number):
    """As SLURM's `scancel --signal` and Snakemake do it."""
    site = disturbed()
    job = site.job("finetune")
    site.without(job)
    process = start_as_a_rule_does(site, job, os.environ[ADDRESS] if start == "warm" else "")
    after_steps(site, process.pid, 20)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert TOLD.search(said)[1] == number.name and "Traceback" not in said
    assert site.run(job).code == 0
    assert site.timing("finetune")["repeated_steps"] == 0
    assert site.made() == whole.made()


def test_a_second_signal_while_it_saves_changes_nothing(disturbed, whole):
    site = disturbed()
    job = site.job("finetune")
    attempt = site.without(job).start(job)
    after_steps(site, attempt.pid, 20)
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
        attempt.signal(number)
    assert attempt.wait() == 143
    assert TOLD.search(attempt.said)[1] == "SIGUSR1"
    assert site.run(job).code == 0
    assert site.timing("finetune")["repeated_steps"] == 0
    assert site.made() == whole.made()


@pytest.mark.parametrize("stage", ["features", "deploy", "report"])
def test_other_stages_end_and_leave_nothing(disturbed, whole, stage):
    site = disturbed()
    job = site.job(stage)
    attempt = site.without(job).start(job)
    while f"runs {stage}" not in attempt.said:
        time.sleep(0.002)
    attempt.signal(signal.SIGUSR1)
    code = attempt.wait()
    assert code == 143, attempt.said
    assert "stopped by SIGUSR1; run it again to go on" in attempt.said
    left = [file for file in site.folder.glob("results/.work/*/*/*") if file.is_file()]
    assert left == []
    assert site.run(job).code == 0
    assert site.made() == whole.made()
