"""How far off is the forecast? Each pack's time from all the others', in a results folder.

`python -m benchmarks forecast` looks at `results`; FORECAST_RESULTS names other folders, divided
by colons. The aims are the project's own: within a third for half of the jobs, and a tenth for
the whole.
"""

import math
import os
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.table import Row
from fastpipe.forecast.costs import fit_costs
from fastpipe.forecast.past import Timed, read_past

__all__ = ["left_out", "run"]


def run() -> Iterable[Row]:
    """For each folder, and each stage with at least five timed jobs."""
    for folder in os.environ.get("FORECAST_RESULTS", "results").split(":"):
        past = read_past(Path(folder), most=1000)
        forecasts: list[tuple[Timed, float]] = []
        for stage in dict.fromkeys(job.stage for job in past):
            own = [job for job in past if job.stage == stage]
            if len(own) < 5:
                continue
            found = left_out(own)
            forecasts += found
            yield _typical(stage, found, folder)
        if forecasts:
            yield _whole(forecasts, folder)


def left_out(timed: Sequence[Timed]) -> list[tuple[Timed, float]]:
    """Each job of a stage with the forecast by the jobs of other folders."""
    parts = 20 if len(timed) > 100 else len(timed)
    found = []
    for part in range(parts):  # twenty parts rather than hundreds of fits: the same but for noise
        rest = [job for index, job in enumerate(timed) if index % parts != part]
        costs = fit_costs(rest, timed[0].device)
        found += [(job, costs.seconds(job.work, job.network)) for job in timed[part::parts]]
    return found


def _typical(stage: str, found: Sequence[tuple[Timed, float]], folder: str) -> Row:
    errors = [abs(math.log(forecast / job.seconds)) for job, forecast in found]
    return Row(
        f"forecast of {stage}: |ln forecast / seen|, median",
        statistics.median(errors),
        None,
        statistics.median(errors),
        "",
        "≤ 0.33",
        f"{len(found)} jobs in {folder}, each left out in its turn; 90 % are within "
        f"{statistics.quantiles(errors, n=10)[-1]:.2f}",
    )


def _whole(found: Sequence[tuple[Timed, float]], folder: str) -> Row:
    forecast = sum(forecast for _, forecast in found)
    seen = sum(job.seconds for job, _ in found)
    return Row(
        "forecast of all jobs together: |1 − forecast / seen|",
        forecast,
        seen,
        abs(1 - forecast / seen),
        "s",
        "≤ 0.1",
        f"{len(found)} jobs in {folder}",
    )
