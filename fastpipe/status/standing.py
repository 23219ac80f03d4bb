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

__all__ = ["Standing", "Totals", "standing"]


@dataclass
class Totals:
    """Jobs of a stage. `running` ones are also among the stale or the missing."""

    current: int = 0
    stale: int = 0
    missing: int = 0
    running: int = 0
    failed: int = 0

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


def standing(plan: Plan, study: str | None, beats: Sequence[Beat]) -> Standing:
    """Compare what a study asks for with the results and with what runs now.

    Files are not hashed, only looked for: `fastpipe verify` does that.

    Args:
        plan: the plan.
        study: name of a study; None: the default study.
        beats: from :func:`fastpipe.status.beats.read_beats`.

    Raises:
        UserError: there is no such study.
    """
    study = study or plan.config.settings.default_study
    if study not in plan.targets:
        raise UserError(f"there is no study {study!r}; {nearest(study, plan.targets)}")
    jobs = plan.jobs(study)
    found = audit(jobs, digests=False)
    by_job = {beat.job: beat for beat in beats}
    stages = {stage: Totals() for stage in STAGES if any(job.stage == stage for job in jobs)}
    for job in jobs:
        totals, state = stages[job.stage], found.state(job)
        setattr(totals, state.value, getattr(totals, state.value) + 1)
        beat = by_job.get(_name(job))
        totals.running += beat is not None and beat.state == "running"
        totals.failed += beat is not None and beat.state in ("failed", "lost")
    left = [job for job in jobs if found.state(job) is not State.CURRENT]
    return Standing(study, stages, *_outlook(Estimate(plan), left, by_job))


def _outlook(
    estimate: Estimate, left: Sequence[Job], by_job: dict[tuple[str, str], Beat]
) -> tuple[float | None, int, int]:
    """Seconds, jobs at a time, and how many jobs are not counted."""
    running = [beat for beat in by_job.values() if beat.state == "running"]
    parallel = len(running) or cores()
    seconds: list[float] = []
    unknown = 0
    for job in left:
        beat = by_job.get(_name(job))
        if beat and beat.state == "running" and beat.seconds_left is not None:
            seconds.append(beat.seconds_left)
        elif estimate.knows(job):
            seconds.append(_rest(estimate.seconds(job), beat))
        else:
            unknown += 1
    if not seconds:
        return None, parallel, unknown
    return max(sum(seconds) / parallel, *seconds), parallel, unknown


def _rest(whole: float, beat: Beat | None) -> float:
    if beat is None or beat.state != "running":
        return whole
    return max(0.0, whole - (beat.updated - beat.started).total_seconds())


def _name(job: Job) -> tuple[str, str]:
    return job.stage, str(job.folder)
