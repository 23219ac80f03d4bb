"""Which notes of jobs that ended without success still matter."""

from collections.abc import Sequence

from fastpipe.audit import State, audit
from fastpipe.config.plan import Job, Plan
from fastpipe.status.beats import Beat

__all__ = ["unfinished"]


def unfinished(beats: Sequence[Beat], plan: Plan, study: str) -> list[Beat]:
    """Those that run, and those that ended without success and are still to be done.

    A job is to be done if some study of the plan asks for it and its results are not current.

    Args:
        beats: from :func:`fastpipe.status.beats.read_beats`.
        plan: the plan.
        study: the study that probably asks for them; to plan all others may take seconds.
    """
    ended = {beat.job for beat in beats if beat.state != "running"}
    jobs = _asked_for(ended, plan, study)
    found = audit(jobs.values(), digests=False)
    done = {name for name, job in jobs.items() if found.state(job) is State.CURRENT}
    return [
        beat
        for beat in beats
        if beat.state == "running" or (beat.job in jobs and beat.job not in done)
    ]


def _asked_for(names: set[tuple[str, str]], plan: Plan, study: str) -> dict[tuple[str, str], Job]:
    """Those jobs, by stage and folder, that a study asks for."""
    found: dict[tuple[str, str], Job] = {}
    for target in sorted(plan.targets, key=lambda name: name != study):
        if found.keys() == names:
            break
        named = {(job.stage, str(job.folder)): job for job in plan.jobs(target)}
        found |= {name: job for name, job in named.items() if name in names}
    return found
