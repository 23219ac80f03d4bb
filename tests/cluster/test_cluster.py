"""Studies on a real SLURM: what runs where, what is tried again, and that results do not differ."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

DIGITS = "results/datasets/own/card.json"
GPU = ("--set-resources", "finetune:gpu=1", "deploy:gpu=1", "forgetting:gpu=1")


def test_results_are_those_of_a_local_run(built, local):
    here, there = (site.bytes(but="studies") for site in (local, built))
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []
    assert len(here) > 30
    assert (built.path("studies", "tiny", "report.html")).stat().st_size > 10_000


def test_jobs_of_a_rule_share_a_submission(built, watch):
    """Every job that is not local is submitted once; those that are ready together, together."""
    jobs = watch(built).jobs
    assert set(jobs.values()) == {"COMPLETED"}
    submitted = re.findall(r"Job ([0-9, ]+) has been submitted with SLURM jobid (\d+)", built.said)
    assert sorted(number for _, number in submitted) == sorted(jobs)
    members = [member for job, _ in submitted for member in job.split(", ")]
    assert len(set(members)) == len(members) == 2 + 2 + 2 + 1 + 1 + 3 * 3
    assert max(job.count(",") for job, _ in submitted) == 2  # the fine-tunings
    assert not list(built.path(".work", "batches").iterdir())


def test_a_changed_recipe_reruns_only_its_packs_and_they_wait_for_the_gpu(site, cluster, watch):
    holder = cluster.ask("sbatch", "--parsable", "--gpus=1", "--wrap=sleep 600")
    site.configure({"recipes": {"quick": {"alpha": 0.2}}})
    own = watch(site)
    known = len(own.jobs)
    with site.finished() as jobs:
        process = site.start_snakemake(*GPU)
        waiting = own.wait("PENDING", known + 1)
        assert cluster.detail(waiting)["Reason"] in ("Resources", "Priority", "None")
        assert "gres:gpu:1" in cluster.detail(waiting)["TresPerJob"]
        assert process.poll() is None
        assert not jobs
        cluster.ask("scancel", holder)
        assert process.wait(120) == 0, site.said
    assert jobs == site.jobs("quick") | site.summary()


def test_an_out_of_memory_kill_is_noticed_and_the_retry_has_more(new, watch):
    memory = "prepare:mem_mb=40*15**(attempt-1)"
    done = new.snakemake("--set-resources", memory, "--retries", "1", "--", DIGITS)
    assert done.returncode == 0, done.stdout
    assert list(watch(new).jobs.values()) == ["OUT_OF_MEMORY", "COMPLETED"]
    assert watch(new).memory() == [40, 600]
    assert "killed (exit code 137)" in done.stdout
    assert new.folder.joinpath(DIGITS).exists()


def test_a_cancelled_job_is_submitted_again_with_more_memory(new, cluster, watch, busy):
    lock = busy(new, "prepare", "datasets/own")
    process = new.start_snakemake("--retries", "1", "--", DIGITS)
    cluster.ask("scancel", watch(new).wait("RUNNING"))
    watch(new).wait("RUNNING", 2)
    lock.end()
    assert process.wait(60) == 0, new.said
    assert list(watch(new).jobs.values()) == ["CANCELLED", "COMPLETED"]
    first, second = watch(new).memory()
    assert second == 2 * first
    assert "Its SLURM job is CANCELLED" in new.said


def test_of_a_batch_the_others_survive_a_member_s_death(site, watch, until):
    """The member that dies is tried again, alone."""
    long = {"recipes": {name: {"steps": 300} for name in ("quick", "plain", "warm")}}
    site.configure(long)
    known = len(watch(site).jobs)
    with site.finished() as jobs:
        process = site.start_snakemake("--retries", "1")
        os.kill(until(lambda: running("finetune", "/plain/", site), "plain runs"), signal.SIGKILL)
        assert process.wait(180) == 0, site.said
    assert jobs == site.summary().union(*(site.jobs(name) for name in ("quick", "plain", "warm")))
    assert site.said.count("killed (exit code 137)") == 1
    assert site.said.count("Error in rule") == 1
    assert list(watch(site).jobs.values())[known] == "FAILED"


@pytest.mark.parametrize("stage", ["finetune", "pretrain"])
def test_a_job_that_is_put_back_into_the_queue_goes_on_to_the_same_bytes(
    stage, site, cluster, watch, until, tmp_path
):
    """After SIGUSR1, as before the time limit, a job asks for that itself; preemption does it."""
    change = {
        "finetune": {"recipes": {"plain": {"steps": 3000}}},
        "pretrain": {"sources": {"net": {"epochs": 300, "snapshots": [0, 300]}}},
    }[stage]
    record = {
        "finetune": site.pack("plain", "finetune.json"),
        "pretrain": site.path("sources/net/epoch-300/pretrain.json"),
    }[stage]
    site.configure(change)
    whole = site.copy(tmp_path / "whole")
    target = str(record.relative_to(site.folder))
    known = len(watch(site).jobs)
    process = site.start_snakemake("--", target)
    logs = site.path(".work")
    until(lambda: any(f.stat().st_size > 3000 for f in logs.glob("*/steps.log")), "some steps")
    job = watch(site).wait("RUNNING", known + 1)
    if stage == "finetune":
        cluster.ask("scancel", "--batch", "--signal=USR1", job)
    else:
        cluster.ask("scontrol", "requeue", job)
    watch(site).wait("PENDING", known + 1)
    assert not record.exists()
    assert process.wait(180) == 0, site.said
    assert cluster.detail(job)["Restarts"] == "1"
    assert list(watch(site).jobs)[known:] == [job]

    local = whole.local()
    local.run("--", target)
    folder = str(record.parent.relative_to(site.path()))
    assert site.bytes(folder) == local.bytes(folder)
    timing = read(site.folder / "results" / folder, stage)
    assert timing["starts"] == 2
    assert timing["repeated_steps"] == 0


def test_what_a_killed_snakemake_left_running_is_withdrawn(new, cluster, watch, busy):
    lock = busy(new, "prepare", "datasets/own")
    process = new.start_snakemake("--", DIGITS)
    left = watch(new).wait("RUNNING")
    process.kill()
    process.wait()
    new.snakemake("--unlock")
    process = new.start_snakemake("--", DIGITS)
    watch(new).wait("RUNNING", 2)
    lock.end()
    assert process.wait(60) == 0, new.said
    assert watch(new).jobs[left] == "CANCELLED"
    assert new.folder.joinpath(DIGITS).exists()


def test_a_time_limit_is_noticed_and_the_job_tried_again(timing_out, watch):
    site, lock, process = timing_out
    watch(site).wait("RUNNING", 2)
    lock.end()
    assert process.wait(60) == 0, site.said
    assert list(watch(site).jobs.values()) == ["TIMEOUT", "COMPLETED"]
    assert "Its SLURM job is TIMEOUT" in site.said


def read(folder: Path, stage: str) -> dict:
    return json.loads((folder / f"{stage}.timing.json").read_text())


def running(stage: str, part: str, site) -> int:
    """Id of the process `fastpipe STAGE … part …` that works in a site's folder; 0 for none."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
            here = (process / "cwd").resolve() == site.folder
        except OSError:
            continue
        if here and stage in words[:4] and part in words[-2]:
            return int(process.name)
    return 0
