"""What a job costs before it does anything: forked from a warm process, beside started cold."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.table import Row
from benchmarks.timing import interleaved, ratio
from fastpipe.warm import ADDRESS, Warm

__all__ = ["run"]

_HOME = Path(__file__).parent.parent
_SPEC = '{"source":"s","epoch":1,"dataset":"d","channels":1,"backbone":{},"compute":{}}'
_JOB = [sys.executable, "-m", "fastpipe", "features", f"--spec={_SPEC}", '--identity={"f":"i"}']
_JOB += ["--out=o/f.json", "--snapshot=s/pretrain.json", "--dataset=d/prepare-train.json"]


def run() -> list[Row]:
    """A job that finds its inputs missing, from the call to its end."""
    with tempfile.TemporaryDirectory() as folder:
        warm = Warm(Path(folder) / "warm.log")
        try:
            contestants = {"warm": _job(folder, True), "cold": _job(folder, False)}
            seconds = interleaved(contestants, rounds=7)
        finally:
            warm.close()
    return [
        Row(
            "start of a job: warm / cold",
            min(seconds["warm"]),
            min(seconds["cold"]),
            ratio(seconds["warm"], seconds["cold"]),
            "s",
            "≤ 0.5",
            "`fastpipe features` up to its first input",
        )
    ]


def _job(folder: str, warm: bool) -> Callable[[], None]:
    environment = os.environ | {"PYTHONPATH": str(_HOME)}
    if not warm:
        environment = {name: value for name, value in environment.items() if name != ADDRESS}

    def start() -> None:
        subprocess.run(_JOB, cwd=folder, env=environment, capture_output=True, check=False)

    return start
