"""The plan as tables: what is there, what will be done, how many images, about how long."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastpipe.audit import Audit, State, audit
from fastpipe.config.classes import lost_folders
from fastpipe.config.config import Config
from fastpipe.config.dataset import Dataset
from fastpipe.config.expansion import Runs
from fastpipe.config.folders import served_folder
from fastpipe.config.names import STAGES, Snapshot, number_name
from fastpipe.config.plan import Job, Plan
from fastpipe.config.problems import nearest
from fastpipe.cores import cores
from fastpipe.devices import hidden_by, usable_gpus
from fastpipe.durations import duration
from fastpipe.errors import UserError, printable
from fastpipe.estimate import GPU_STAGES, Estimate

if TYPE_CHECKING:
    from fastpipe.inspection import Inspection

__all__ = ["folder_lines", "print_plan"]

_STATES = {
    State.CURRENT: Text("done", "green"),
    State.STALE: Text("stale", "yellow"),
    State.MISSING: Text("to do", "cyan"),
}
_WIDE = 115
"""Columns of a console from which a variant's name stays on one line."""

_LABEL_WIDTH = 20
"""Columns for the names of arms and variants on a narrow console."""


def print_plan(plan: Plan, study: str | None, console: Console | None = None) -> None:
    """Print the plan of a study target and of those it includes.

    Args:
        plan: the plan.
        study: its name; None: the default study, and all datasets are looked at, whichever study
            needs them.
        console: where to; default: standard output.

    Raises:
        UserError: if there is no such study; after the plan has been printed, if results are
            damaged or an image folder holds what `prepare` would refuse.
    """
    console = console or Console()
    asked = study or plan.config.settings.default_study
    if asked not in plan.targets:
        raise UserError(f"there is no study {asked!r}; {nearest(asked, plan.targets)}")
    jobs = plan.jobs(asked)
    found = audit(jobs)
    others = [] if study else _others(plan, asked)
    audit_of_others = audit(map(plan.prepare, others))
    unprepared = _unprepared(plan, plan.datasets(asked), found)
    inspections = _inspections(unprepared)
    inspections_of_others = _inspections(_unprepared(plan, others, audit_of_others))
    estimate = Estimate(plan)
    for name, one in inspections.items():
        if one.counts:
            estimate.counted(name, one.counts)
    for table in _tables(plan, asked, estimate, found, narrow=console.width < _WIDE):
        console.print(table)
    console.print()
    _print_notes(inspections | inspections_of_others, console)
    todo = [job for job in jobs if found.state(job) is not State.CURRENT]
    default = [] if study or len(plan.targets) == 1 else [_DEFAULT.format(asked)]
    for line in [*_outlook(todo, estimate), *default]:
        console.print(printable(line), markup=False)
    stops = [*_damages(found), *_stops(inspections), *_lost(unprepared)]
    # Of the others, a folder may be on another machine.
    stops_others = [*_damages(audit_of_others), *_stops(inspections_of_others)]
    if stops or stops_others:
        told = [(_WOULD_STOP, stops), (_WOULD_STOP_OTHERS, stops_others)]
        raise UserError("\n".join(line for head, own in told if own for line in [head, *own]))


_DEFAULT = "This is the default study, {}; fastpipe check STUDY tells of another."
_WOULD_STOP = "snakemake would stop:"
_WOULD_STOP_OTHERS = "snakemake would stop at other studies:"


def _others(plan: Plan, study: str) -> list[str]:
    """Datasets that a study does not need."""
    own = plan.datasets(study)
    return [name for name in plan.config.datasets if name not in own]


def _unprepared(plan: Plan, names: Iterable[str], found: Audit) -> dict[str, Dataset]:
    return {
        name: plan.config.datasets[name]
        for name in names
        if found.state(plan.prepare(name)) is not State.CURRENT
    }


def folder_lines(config: Config | None) -> list[str]:
    """What else there is to mend and to know in the image folders of a configuration.

    For one that cannot be loaded, so that nothing is left for another round; of the entries that
    are valid on their own.
    """
    if config is None:
        return []
    inspections = _inspections(config.datasets)
    stops = _stops(inspections)
    notes = [line for name, one in inspections.items() for line in _lines(name, one.notes)]
    return [
        *(["In the image folders, this would stop snakemake:", *stops] if stops else []),
        *(["Also seen there:", *notes] if notes else []),
    ]


def _damages(found: Audit) -> list[str]:
    return [f"  {damage}" for damage in found.damages]


def _stops(inspections: "Mapping[str, Inspection]") -> list[str]:
    return [line for name, one in inspections.items() for line in _lines(name, one.stops)]


def _print_notes(inspections: "Mapping[str, Inspection]", console: Console) -> None:
    """Print what is worth knowing of image folders and does not stop."""
    for name, one in inspections.items():
        for line in _lines(name, one.notes):
            console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
    if any(one.notes for one in inspections.values()):
        console.print()


def _lost(datasets: Mapping[str, Dataset]) -> list[str]:
    """Folders that are not there."""
    return [
        line
        for name, dataset in datasets.items()
        for line in _lines(name, (text for _, text in lost_folders(dataset)))
    ]


def _inspections(datasets: Mapping[str, Dataset]) -> "dict[str, Inspection]":
    """By dataset; those that lie in folders alone."""
    if not any(served_folder(dataset) for dataset in datasets.values()):
        return {}
    from fastpipe.inspection import inspect  # decoding libraries are not for everyone

    found = {name: inspect(dataset) for name, dataset in datasets.items()}
    return {name: one for name, one in found.items() if one is not None}


def _lines(name: str, messages: Iterable[str]) -> list[str]:
    return [f"  {name}: {message}" for message in messages]


def _table(title: str, columns: Sequence[str], numbers: Iterable[str] = ()) -> Table:
    table = Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        if column in numbers:
            table.add_column(column, justify="right", no_wrap=True)
        else:
            table.add_column(column, overflow="fold")
    return table


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _tables(
    plan: Plan, study: str, estimate: Estimate, found: Audit, *, narrow: bool
) -> Iterator[Table]:
    yield _datasets(plan, estimate, study, found)
    yield _sources(plan, study, found)
    for name in plan.with_included(study):
        if plan.own_runs(name):
            yield _arms(plan, name, found, narrow=narrow)
    yield _stages(plan.jobs(study), estimate, found)


def _datasets(plan: Plan, estimate: Estimate, study: str, found: Audit) -> Table:
    table = _table("Datasets", ["name", "train", "val", "test", "state"], ["train", "val", "test"])
    for name in plan.datasets(study):
        sizes = estimate.sizes(name)
        state = _STATES[found.state(plan.prepare(name))]
        table.add_row(name, _count(sizes.train), _count(sizes.val), _count(sizes.test), state)
    return table


def _sources(plan: Plan, study: str, found: Audit) -> Table:
    table = _table("Sources", ["snapshot", "backbone", "dataset", "state"])
    for snapshot in plan.trained(study):
        source = plan.config.sources[snapshot.source]
        state = _STATES[found.state(plan.pretrain(snapshot))]
        table.add_row(str(snapshot), source.backbone.name, source.dataset or "–", state)
    return table


def _arms(plan: Plan, study: str, found: Audit, *, narrow: bool) -> Table:
    """One row for each arm, or each value of its sweep: its snapshots and targets together."""
    numbers = ["α", "β", "steps", "seeds", "packs\ndone"]
    table = _table(f"Runs of {study}", ["arm\n  variant", "from", "on", *numbers], numbers)
    if narrow:
        labels = [_label(runs, narrow=True).plain for runs in plan.own_runs(study)]
        longest = max(len(line) for label in labels for line in label.splitlines())
        table.columns[0].width = min(longest, _LABEL_WIDTH)
    for _, grouped in itertools.groupby(plan.own_runs(study), key=lambda runs: runs.label):
        group = list(grouped)
        runs, packs = group[0], [pack for runs in group for pack in plan.packs_of(runs)]
        done = sum(found.state(plan.finetune(pack)) is State.CURRENT for pack in packs)
        table.add_row(
            _label(runs, narrow=narrow),
            _from(runs.snapshot for runs in group),
            ", ".join(dict.fromkeys(runs.target for runs in group)),
            number_name(runs.recipe.alpha),
            number_name(runs.recipe.beta),
            _count(runs.recipe.steps),
            str(runs.seeds),
            f"{done}/{len(packs)}",
        )
    return table


def _label(runs: Runs, *, narrow: bool) -> Text:
    """The arm, and below it the variant if that has another name; in parts if space is short."""
    variant = f"\n  {runs.variant}" if runs.variant != runs.label else ""
    text = Text(runs.label).append(variant, "dim")
    return Text("\n  +").join(text.split("+")) if narrow else text


def _from(snapshots: Iterable[Snapshot]) -> str:
    """Snapshots by source: `a@0, @1, b@1`."""
    names: list[str] = []
    source = None
    for snapshot in dict.fromkeys(snapshots):
        name = str(snapshot)
        names.append(name.removeprefix(snapshot.source) if snapshot.source == source else name)
        source = snapshot.source
    return ", ".join(names)


def _stages(jobs: list[Job], estimate: Estimate, found: Audit) -> Table:
    columns = ["jobs", "done", "stale", "to do", "images to process"]
    table = _table("Stages", ["stage", *columns], columns)
    for stage in STAGES:
        own = [job for job in jobs if job.stage == stage]
        states = [found.state(job) for job in own]
        todo = [job for job in own if found.state(job) is not State.CURRENT]
        counts = [estimate.images(job) for job in todo]
        images = None if None in counts else sum(counts)
        numbers = [len(own), *map(states.count, (State.CURRENT, State.STALE, State.MISSING))]
        table.add_row(stage, *map(str, numbers), _count(images))
    return table


def _outlook(todo: list[Job], estimate: Estimate) -> Iterator[str]:
    """What is left to be done costs, how that is known, and on what networks are computed."""
    if not todo:
        yield "Nothing to be done."
        return
    known = [job for job in todo if estimate.knows(job)]
    yield _cost(todo, known, estimate)
    yield from _basis(todo, known, estimate)
    if any(job.stage in GPU_STAGES for job in todo):
        yield from _computed_on(estimate)


def _cost(todo: list[Job], known: list[Job], estimate: Estimate) -> str:
    """Time, hours of cores and GPUs, and disk."""
    on_gpu = [job for job in known if estimate.device == "cuda" and job.stage in GPU_STAGES]
    gpu = sum(map(estimate.seconds, on_gpu))
    core = sum(map(estimate.seconds, known)) - gpu
    least = "About" if len(known) == len(todo) else "At least"
    here = cores()
    time = f"{least} {duration(core / here)} on {_number(here, 'core')}"
    parts = [f"{time} ({core / 3600:.2g} core-hours)"]
    if on_gpu:
        parts.append(f"{gpu / 3600:.2g} GPU-hours")
    parts.append(f"at most {_size(sum(map(estimate.bytes, todo)))} of disk")
    return ", ".join(parts) + "."


def _computed_on(estimate: Estimate) -> Iterator[str]:
    """Which GPUs, or why none although there may be some."""
    asked = estimate.plan.config.settings.compute.device
    if estimate.device == "cuda":
        try:
            yield f"Networks are computed on GPU {', '.join(usable_gpus(asked))}."
        except UserError as error:  # no reason to fail: a cluster's nodes may have what is not here
            yield f"On this machine jobs would fail: {error}"
    elif asked == "auto" and hidden_by():
        yield f"Networks are computed on the CPU: {hidden_by()} hides all GPUs."


def _basis(todo: list[Job], known: list[Job], estimate: Estimate) -> Iterator[str]:
    """What the estimate rests on, and what is not in it."""
    timed = sum(estimate.costs(stage).jobs for stage in {job.stage for job in known})
    rough = [job for job in known if not estimate.was_timed(job)]
    if not timed:
        yield "These are first guesses: no job has been timed here yet."
    elif rough:
        yield (
            f"By {_number(timed, 'timed job')}; roughly for {len(rough):,} of {len(todo):,}, of "
            "whose stage and network none was timed."
        )
    else:
        yield f"By {_number(timed, 'timed job')}."
    if unknown := len(todo) - len(known):
        yield (
            f"{unknown:,} of {_number(len(todo), 'job')} cannot be estimated: their images are not "
            "counted yet, or their network is not known."
        )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _size(count: int) -> str:
    for unit, power in (("GB", 1e9), ("MB", 1e6)):
        if count >= power:
            value = count / power
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return "less than 1 MB"
