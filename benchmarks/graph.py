"""Snakemake's share: wall time of a study's graph against the best schedule of its jobs."""

import csv
import heapq
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.table import Row
from fastpipe.config.load import load
from fastpipe.config.names import RESULTS
from fastpipe.config.plan import Job, Plan
from fastpipe.files import read_json
from fastpipe.workflow import configuration_files

HOME = Path(__file__).parent.parent
STUDY = os.environ.get("FASTPIPE_BENCH_STUDY", "demo")


def run() -> list[Row]:
    """Run the whole study in an empty folder, then once more, and compare."""
    plan = Plan(load(configuration_files(HOME, [])))
    jobs = plan.jobs(STUDY)
    with tempfile.TemporaryDirectory() as folder:
        wall, again = (_snakemake(Path(folder)) for _ in range(2))
        seconds = {job: _job_seconds(Path(folder), job) for job in jobs}
    cores = os.cpu_count() or 1
    best = best_schedule(jobs, seconds, cores)
    note = f"{len(jobs)} jobs, {sum(seconds.values()):.0f} s in all, {cores} cores"
    return [
        Row(f"graph of {STUDY} / best schedule", wall, best, wall / best, "s", "≤ 1.15", note),
        Row("snakemake again, nothing to be done", again, None, None, "s", "", "aim: at most 5 s"),
    ]


def _snakemake(folder: Path) -> float:
    program = Path(sys.executable).with_name("snakemake")
    started = time.perf_counter()
    subprocess.run(
        [program, "--snakefile", HOME / "Snakefile", "--directory", folder, STUDY],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - started


def _job_seconds(folder: Path, job: Job) -> float:
    """Seconds of a job's process, its start-up included, as Snakemake measured them.

    Of rules that may be cached between workflows it measures none: the stage's own seconds.
    """
    place = folder / RESULTS / "benchmarks" / job.folder.relative_to(RESULTS)
    if not (place / f"{job.stage}.tsv").exists():
        timing = folder / job.folder / f"{job.stage}.timing.json"
        return float(read_json(timing)["seconds"])
    with (place / f"{job.stage}.tsv").open() as file:
        return float(next(csv.DictReader(file, delimiter="\t"))["s"])


def best_schedule(jobs: list[Job], seconds: Mapping[Job, float], cores: int) -> float:
    """Makespan of list scheduling, longest remaining path first: near the best there can be."""
    writer = {record: job for job in jobs for record in job.records}
    needs = {job: {writer[record] for record in job.reads} for job in jobs}
    users: dict[Job, list[Job]] = {job: [] for job in jobs}
    for job, inputs in needs.items():
        for before in inputs:
            users[before].append(job)
    path: dict[Job, float] = {}
    for job in reversed(jobs):  # users come after their inputs
        path[job] = seconds[job] + max((path[user] for user in users[job]), default=0.0)
    waiting = {job: len(inputs) for job, inputs in needs.items()}
    ready = [(-path[job], i, job) for i, job in enumerate(jobs) if not waiting[job]]
    heapq.heapify(ready)
    running: list[tuple[float, int, Job]] = []
    order, now = len(jobs), 0.0
    while ready or running:
        while ready and len(running) < cores:
            _, index, job = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[job], index, job))
        now, _, job = heapq.heappop(running)
        for user in users[job]:
            waiting[user] -= 1
            if not waiting[user]:
                order += 1
                heapq.heappush(ready, (-path[user], order, user))
    return now
