"""`snakemake` with nothing to do: over a study of 1,000 finished runs, beside one run.

The results are invented, their records are not: every job has the identity that the plan asks for,
digests of its (tiny) files and of its inputs, so that all that looks at results has its full work.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.table import Row
from benchmarks.timing import interleaved, ratio
from fastpipe.config.load import load
from fastpipe.config.plan import Job, Plan
from fastpipe.files import digest, write_bytes, write_json
from fastpipe.integrity import remember
from fastpipe.workflow import configuration_files

__all__ = ["finish", "run"]

HOME = Path(__file__).parent.parent
RUNS = 1000
PARTS = ("images", "labels")
STATES = tuple(f"states/seed-{seed}-step-{step}" for seed in range(5) for step in (0, 1, 3, 10, 65))
TRAINED = ("steps", "dynamics", "layers", "validations", "deployments", "runs")
OUTPUTS = {
    "pretrain": ("weights.safetensors", "training.safetensors", "history.parquet"),
    "features": ("means.safetensors", "images.safetensors"),
    "similarity": ("similarity.parquet", "flow.parquet"),
    "scores": ("scores.parquet",),
    "finetune": (*(f"{t}.parquet" for t in TRAINED), *(f"{s}.safetensors" for s in STATES)),
    "deploy": ("adp.parquet", "confusion.parquet"),
    "forgetting": ("forgetting.parquet",),
    "collect": ("study.duckdb",),
    "report": ("report.html", "claims.parquet", "claims.csv", "charts/adp.svg"),
}
"""Files that a job's record vouches for; `prepare` has a record for each split."""


def run() -> list[Row]:
    """Both studies in turn. What is allowed: 1.5 times the one run, and 1 ms for each job."""
    with tempfile.TemporaryDirectory() as folder:
        many, jobs = _study(Path(folder) / "many", RUNS)
        one, few = _study(Path(folder) / "one", 1)
        seconds = interleaved({"many": many, "one": one}, rounds=7)
    allowed = [1.5 * alone + jobs / 1000 for alone in seconds["one"]]
    pairs = zip(seconds["many"], seconds["one"], strict=True)
    each = statistics.median(1000 * (a - b) / (jobs - few) for a, b in pairs)
    times = statistics.median(seconds["many"]) / statistics.median(seconds["one"])
    note = f"{RUNS} runs, {jobs} jobs: {times:.2f} times the one run, {each:.2f} ms for each job"
    return [
        Row(
            "snakemake, nothing to do: 1,000 runs / 1.5 × one run + 1 ms per job",
            statistics.median(seconds["many"]),
            statistics.median(allowed),
            ratio(seconds["many"], allowed),
            "s",
            "≤ 1",
            note,
        )
    ]


def _study(folder: Path, runs: int) -> tuple[Callable[[], None], int]:
    """A finished study of so many runs: a call that lets Snakemake look at it, and its jobs."""
    (folder / "config").mkdir(parents=True)
    write_json(folder / "config" / "study.yaml", _configuration(runs))
    plan = Plan(load([*configuration_files(HOME, []), folder / "config" / "study.yaml"]))
    jobs = plan.jobs("finished")
    finish(jobs, folder)
    _snakemake(folder, "--touch")  # writes Snakemake's own notes

    def look() -> None:
        assert "Nothing to be done" in _snakemake(folder)

    return look, len(jobs)


def _configuration(runs: int) -> dict[str, Any]:
    """20 seeds of each of many rates, or a single run."""
    variants, seeds = max(1, runs // 20), min(runs, 20)
    arm = {
        "recipe": "fast",
        "role": "fast",
        "snapshots": ["mnist-cnn@last"],
        "targets": ["digits"],
        "overrides": {"beta": [round(0.01 + 0.001 * number, 3) for number in range(variants)]},
    }
    study = {"title": "Finished", "seeds": seeds, "arms": {"FAST": arm}}
    return {"settings": {"default_study": "finished"}, "studies": {"finished": study}}


def finish(jobs: Iterable[Job], folder: Path) -> None:
    """Write tiny results of jobs, inputs before their users, as their stages would.

    Args:
        folder: the working directory.
    """
    digests: dict[Path, dict[str, str]] = {}  # of the files that each record vouches for
    for job in jobs:
        inputs = {name: d for record in job.reads for name, d in digests[record].items()}
        for record, identity in job.records.items():
            files = [job.folder / name for name in _outputs(job, record)]
            for file in files:
                write_bytes(folder / file, str(file).encode())
            digests[record] = {str(file): digest(folder / file) for file in files}
            content = {
                "stage": job.stage,
                "identity": identity,
                "spec": json.loads(job.spec),
                "inputs": inputs,
                "outputs": {
                    Path(file).relative_to(job.folder).as_posix(): value
                    for file, value in digests[record].items()
                },
                "facts": {},
                "versions": {},
            }
            write_json(folder / record, content)
            remember(folder / record)
        write_json(folder / job.folder / f"{job.stage}.timing.json", {"seconds": 1.0})


def _outputs(job: Job, record: Path) -> Iterable[str]:
    if job.stage == "prepare":
        split = record.stem.removeprefix("prepare-")
        card = ["card.json"] if split == "test" else []
        return [*(f"{split}-{part}.npy" for part in PARTS), *card]
    return OUTPUTS[job.stage]


def _snakemake(folder: Path, *arguments: str) -> str:
    program = Path(sys.executable).with_name("snakemake")
    done = subprocess.run(
        [program, "--snakefile", HOME / "Snakefile", *arguments],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout
