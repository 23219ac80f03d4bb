"""The plan as tables: what is there, what will be done, how many images, about how long."""

import os
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastpipe.audit import Audit, State, audit
from fastpipe.config.names import STAGES, number_name
from fastpipe.config.plan import Job, Plan
from fastpipe.config.problems import nearest
from fastpipe.errors import UserError
from fastpipe.estimate import Estimate

__all__ = ["print_plan"]

_STATES = {
    State.CURRENT: Text("done", "green"),
    State.STALE: Text("stale", "yellow"),
    State.MISSING: Text("to do", "cyan"),
}


def print_plan(plan: Plan, study: str | None, console: Console | None = None) -> None:
    """Print the plan of one study target, or of all.

    Raises:
        UserError: if there is no such study, or results are damaged.
    """
    console = console or Console()
    if study is not None and study not in plan.targets:
        raise UserError(f"there is no study {study!r}; {nearest(study, plan.targets)}")
    names = [study] if study else list(plan.targets)
    jobs = list(dict.fromkeys(job for name in names for job in plan.jobs(name)))
    found = audit(jobs)
    found.refuse_damage()
    estimate = Estimate(plan)
    console.print(_datasets(plan, estimate, names, found))
    console.print(_sources(plan, names, found))
    for name in names:
        if plan.runs(name):
            console.print(_arms(plan, name, found))
    console.print(_stages(jobs, estimate, found))
    console.print(_outlook(jobs, estimate, found))


def _table(title: str, columns: Sequence[str], numbers: Iterable[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    return table


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _datasets(plan: Plan, estimate: Estimate, names: list[str], found: Audit) -> Table:
    table = _table("Datasets", ["name", "train", "val", "test", ""], ["train", "val", "test"])
    for name in dict.fromkeys(dataset for study in names for dataset in plan.datasets(study)):
        sizes = estimate.sizes(name)
        state = _STATES[found.state(plan.prepare(name))]
        table.add_row(name, _count(sizes.train), _count(sizes.val), _count(sizes.test), state)
    return table


def _sources(plan: Plan, names: list[str], found: Audit) -> Table:
    table = _table("Sources", ["snapshot", "backbone", "dataset", ""])
    needed = (
        s for study in names for start in plan.snapshots(study) for s in plan.snapshots_for(start)
    )
    for snapshot in dict.fromkeys(needed):
        source = plan.config.sources[snapshot.source]
        state = _STATES[found.state(plan.pretrain(snapshot))]
        table.add_row(str(snapshot), source.backbone.name, source.dataset, state)
    return table


def _arms(plan: Plan, study: str, found: Audit) -> Table:
    table = _table(
        f"Runs of {study}",
        ["arm", "variant", "from", "target", "α", "β", "steps", "seeds", "packs", "done"],
        ["α", "β", "steps", "seeds", "packs", "done"],
    )
    for runs in plan.runs(study):
        packs = plan.packs_of(runs)
        done = sum(found.state(plan.finetune(pack)) is State.CURRENT for pack in packs)
        table.add_row(
            runs.label,
            runs.variant,
            str(runs.snapshot),
            runs.target,
            number_name(runs.recipe.alpha),
            number_name(runs.recipe.beta),
            _count(runs.recipe.steps),
            str(runs.seeds),
            str(len(packs)),
            str(done),
        )
    return table


def _stages(jobs: list[Job], estimate: Estimate, found: Audit) -> Table:
    numbers = ["jobs", "done", "stale", "to do", "images to process"]
    table = _table("Stages", ["stage", *numbers], numbers)
    for stage in STAGES:
        own = [job for job in jobs if job.stage == stage]
        states = [found.state(job) for job in own]
        open_jobs = [job for job in own if found.state(job) is not State.CURRENT]
        counts = [estimate.images(job) for job in open_jobs]
        images = None if None in counts else sum(counts)
        numbers = [len(own), *(states.count(state) for state in (State.CURRENT, State.STALE))]
        numbers.append(states.count(State.MISSING))
        table.add_row(stage, *map(str, numbers), _count(images))
    return table


def _outlook(jobs: list[Job], estimate: Estimate, found: Audit) -> str:
    todo = [job for job in jobs if found.state(job) is not State.CURRENT]
    if not todo:
        return "Nothing to be done."
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    seconds = sum(estimate.seconds(job) for job in todo) / cores
    unknown = any(estimate.images(job) is None for job in todo)
    return f"{'At least' if unknown else 'About'} {_duration(seconds)} on {cores} cores."


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
