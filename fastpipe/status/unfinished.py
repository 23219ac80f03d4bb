"""Which notes of jobs that ended without success still matter."""

from collections.abc import Sequence

from fastpipe.audit import State
from fastpipe.config.plan import Plan
from fastpipe.status.beats import Beat
from fastpipe.status.standing import job_states

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
    states = _states(ended, plan, study)
    return [
        beat
        for beat in beats
        if beat.state == "running" or states.get(beat.job, State.CURRENT) is not State.CURRENT
    ]


def _states(names: set[tuple[str, str]], plan: Plan, study: str) -> dict[tuple[str, str], State]:
    """Where jobs, by stage and folder, stand; without those that no study asks for."""
    found: dict[tuple[str, str], State] = {}
    for target in sorted(plan.targets, key=lambda name: name != study):
        if found.keys() == names:
            break
        jobs = plan.jobs(target)
        if any((job.stage, str(job.folder)) in names for job in jobs):
            # All of them: whether a job is stale depends on those before it.
            states = {(job.stage, str(job.folder)): s for job, s in job_states(jobs).items()}
            found |= {name: states[name] for name in names & states.keys()}
    return found
