"""How far a study is: what is done of each stage, and when all of it will be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastpipe.audit import State, audit
from fastpipe.config.names import STAGES
from fastpipe.config.plan import Job, Plan
from fastpipe.config.problems import nearest
from fastpipe.cores import cores
from fastpipe.errors import UserError
from fastpipe.estimate import Estimate
from fastpipe.status.beats import Beat

__all__ = ["Standing", "Totals", "job_states", "standing"]


@dataclass
class Totals:
    """Jobs of a stage. Those that are running or failed are also among the stale or missing."""

    current: int = 0
    stale: int = 0
    missing: int = 0
    running: int = 0
    failed: int = 0
    images_per_s: float = 0.0
    """Of all that are running, together."""
    seconds_left: float = 0.0
    """Until all that are left are done, one after the other; those not counted that cannot be
    estimated."""

    @property
    def jobs(self) -> int:
        return self.current + self.stale + self.missing


@dataclass
class Standing:
    """Where a study stands.

    Attributes:
        study: its name.
        stages: totals of the stages that have jobs.
        seconds_left: until it is done; None if nothing is left, or no job can be estimated.
        parallel: jobs at a time that this supposes: those that run now, or else one for each core.
        unknown: jobs left that cannot be estimated; they are not among the seconds.
    """

    study: str
    stages: dict[str, Totals]
    seconds_left: float | None
    parallel: int
    unknown: int

    @property
    def whole(self) -> Totals:
        """Totals over all stages."""
        own = [vars(totals) for totals in self.stages.values()]
        return Totals(**{key: sum(one[key] for one in own) for key in vars(Totals())})

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"stages": {name: vars(one) for name, one in self.stages.items()}}


def standing(plan: Plan, study: str, beats: Sequence[Beat]) -> Standing:
    """Compare what a study asks for with the results and with what runs now.

    Files are not hashed, only looked for: `fastpipe verify` does that.

    Args:
        plan: the plan.
        study: name of a study.
        beats: from :func:`fastpipe.status.unfinished.unfinished`.

    Raises:
        UserError: there is no such study.
    """
    if study not in plan.targets:
        raise UserError(f"there is no study {study!r}; {nearest(study, plan.targets)}")
    jobs = plan.jobs(study)
    states = job_states(jobs)
    estimate, by_job = Estimate(plan), {beat.job: beat for beat in beats}
    stages = {stage: Totals() for stage in STAGES if any(job.stage == stage for job in jobs)}
    longest, unknown = 0.0, 0
    for job in jobs:
        totals, beat = stages[job.stage], by_job.get((job.stage, str(job.folder)))
        _count(totals, states[job], beat)
        if states[job] is not State.CURRENT:
            left = _seconds_left(job, beat, estimate)
            unknown += left is None
            totals.seconds_left += left or 0.0
            longest = max(longest, left or 0.0)
    parallel = sum(beat.state == "running" for beat in beats) or cores()
    total = sum(totals.seconds_left for totals in stages.values())
    return Standing(study, stages, max(longest, total / parallel) or None, parallel, unknown)


def job_states(jobs: Sequence[Job]) -> dict[Job, State]:
    """Where each job of a study stands. Its tables and page are stale if anything behind them is.

    Files are not hashed, only looked for.
    """
    found = audit(jobs, digests=False)
    states = {job: found.state(job) for job in jobs}
    if any(state is not State.CURRENT for state in states.values()):
        for job in jobs:
            if job.stage in ("collect", "report") and states[job] is State.CURRENT:
                states[job] = State.STALE
    return states


def _count(totals: Totals, state: State, beat: Beat | None) -> None:
    setattr(totals, state.value, getattr(totals, state.value) + 1)
    if beat is not None and beat.state == "running":
        totals.running += 1
        totals.images_per_s += beat.images_per_s or 0.0
    totals.failed += beat is not None and beat.state in ("failed", "lost")


def _seconds_left(job: Job, beat: Beat | None, estimate: Estimate) -> float | None:
    """Of a job that is not done: by its own rate, else by the estimate; None if unknown."""
    running = beat is not None and beat.state == "running"
    if running and beat.seconds_left is not None:
        return beat.seconds_left
    if not estimate.knows(job):
        return None
    spent = (beat.updated - beat.started).total_seconds() if running else 0.0
    return max(0.0, estimate.seconds(job) - spent)
