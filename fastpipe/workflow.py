"""What the Snakefile asks of fastpipe: for wildcards a job, its parameters and its inputs.

A job runs again when its identity (its own declaration and code and those of everything it is made
from) changes or when a file of its own is missing; never because a file was touched, or because an
input was computed anew to the same bytes. Snakemake alone would do otherwise: it lets a job run if
the job behind an input runs, unless that input is `ancient` and there, and then it looks for no
other reason. So the inputs that Snakemake is shown depend on where a job stands (`Graph.inputs`).
`collect` and `report` are cheap and always follow.
"""

import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from fastpipe.audit import Audit, State, audit
from fastpipe.config.expansion import BASE_SCALE
from fastpipe.config.load import load, yaml_files
from fastpipe.config.names import WORK, Pack, Snapshot
from fastpipe.config.plan import Job, Plan
from fastpipe.config.results import place_results
from fastpipe.files import canonical_json, write_bytes
from fastpipe.resources import Resources

__all__ = ["STALE", "Graph", "configuration_files"]

STALE = WORK / "stale"
"""An input of every stale job. Its content is new whenever something is stale, so a stale job
reruns whatever Snakemake's own notes say, or if they are lost."""


def configuration_files(base: Path, extra: Iterable[Path]) -> list[Path | list[Path]]:
    """Shipped files, those in `config/` of the working directory, each as one folder's, then
    `--configfile`s, each of which may override all before it."""
    own = [base / "config"]
    if Path("config").resolve() != own[0].resolve():
        own.append(Path("config"))
    return [*map(yaml_files, own), *extra]


class Graph:
    """The plan, joined to what is on disk."""

    def __init__(
        self,
        plan: Plan,
        *,
        check_results: bool = True,
        before_looking: Callable[[], None] = lambda: None,
    ):
        self.plan, self._before_looking = plan, before_looking
        self.needs = Resources(plan, self.job)
        self.found = Audit() if check_results else None
        self._seen: set[str] = set()
        self._marked = False

    @classmethod
    def load(
        cls,
        base: Path,
        extra: Iterable[Path],
        *,
        check_results: bool,
        before_looking: Callable[[], None],
    ) -> Self:
        """Load and validate the configuration; results are looked at when they are asked for,
        each time after a call of `before_looking`.

        Raises:
            UserError: all problems of the configuration.
        """
        config = load(configuration_files(base, extra))
        if check_results:
            place_results(config.settings.results)
        return cls(Plan(config), check_results=check_results, before_looking=before_looking)

    def look_at(self, *targets: str) -> None:
        """Find out where the jobs of study targets stand, those that are not known yet.

        Raises:
            UserError: all damaged results; or from `before_looking`.
        """
        new = [name for name in targets if name not in self._seen]
        if self.found is None or not new:
            return
        self._seen |= set(new)
        self._audit(dict.fromkeys(job for name in new for job in self.plan.jobs(name)))

    def _audit(self, jobs: Iterable[Job]) -> None:
        self._before_looking()
        found = audit(jobs)
        found.refuse_damage()
        for records, state in found.states.items():
            if self.found.states.get(records) is not State.MISSING:
                self.found.states[records] = state  # what one study needs, it needs in all
        for damage in found.rebuilt:
            print(f"{damage.problem} It is made again.", file=sys.stderr)
        stale = State.STALE in found.states.values() and not self._marked
        if stale or not STALE.exists():
            write_bytes(STALE, uuid.uuid4().hex.encode())
            self._marked = True

    def state(self, job: Job) -> State | None:
        """Where a job stands; None if no study asks for it."""
        if tuple(job.records) not in self.found.states:  # asked for by its file, not by a study
            self._audit(self._behind(job))
        return self.found.states.get(tuple(job.records))

    def _behind(self, job: Job) -> list[Job]:
        """A job and all that it is made from, that first; nothing if no study asks for it."""
        wanted, behind = list(job.records), set()
        jobs = self._jobs_with(job)
        makers = {record: maker for maker in jobs for record in maker.records}
        while wanted:
            maker = makers.get(wanted.pop())
            if maker is not None and maker not in behind:
                behind.add(maker)
                wanted += maker.reads
        return [maker for maker in jobs if maker in behind]

    def _jobs_with(self, job: Job) -> list[Job]:
        """The jobs of the first study that asks for this one, inputs before their users. To plan
        the larger scales takes seconds: they come last."""
        scales = self.plan.targets.items()
        for name, _ in sorted(scales, key=lambda item: item[1].scale_name != BASE_SCALE):
            jobs = self.plan.jobs(name)
            if job in jobs:
                return jobs
        return []

    def job(self, stage: str, wildcards: Any) -> Job:
        """The job of a stage that makes the files with these wildcards."""
        match stage:
            case "prepare":
                return self.plan.prepare(wildcards.dataset)
            case "pretrain":
                return self.plan.pretrain(snapshot(wildcards))
            case "features":
                return self.plan.features(snapshot(wildcards), wildcards.dataset)
            case "similarity":
                return self.plan.similarity(
                    snapshot(wildcards), wildcards.target, extractor(wildcards)
                )
            case "scores":
                return self.plan.scores(snapshot(wildcards), wildcards.target)
            case "finetune" | "deploy" | "forgetting":
                return getattr(self.plan, stage)(pack(wildcards))
            case "collect" | "report":
                return getattr(self.plan, stage)(wildcards.study)
        raise ValueError(stage)

    def spec(self, stage: str) -> Callable[[Any], str]:
        """Params function: the job's spec."""
        return lambda wildcards: self.job(stage, wildcards).spec

    def identity(self, stage: str) -> Callable[[Any], str]:
        """Params function: the identity of each record that the job writes, as JSON."""
        return lambda wildcards: canonical_json(dict(self.job(stage, wildcards).identities))

    def inputs(
        self,
        stage: str,
        wildcards: Any,
        paths: Sequence[str],
        ancient: Callable[[str], str],
        *,
        forced: bool = False,
    ) -> list[str]:
        """A job's inputs as Snakemake is to see them.

        If the job is current, only those that are there, `ancient`: it stays as it is, even while
        what it was made from is rebuilt. But when jobs are `forced` to run it may be among them,
        and needs all. Any other job runs, after those behind its inputs: all, as ordinary files.
        """
        if self.found is None:  # one job of a cluster, told to run by the main process
            return [ancient(path) for path in paths]
        if self.state(self.job(stage, wildcards)) is not State.CURRENT:
            return list(paths)
        return [ancient(path) for path in paths if forced or Path(path).exists()]

    def stale(self, stage: str, wildcards: Any) -> list[str]:
        """The input that lets a stale job run again; nothing for any other job."""
        if self.found is None:
            return []
        stale = self.state(self.job(stage, wildcards)) is State.STALE
        return [str(STALE)] if stale else []

    def own_dataset(self, wildcards: Any) -> str:
        """The dataset that the source in the wildcards was trained on; "" if it has none."""
        return self.plan.config.sources[wildcards.source].dataset or ""

    def predecessor(self, wildcards: Any) -> Snapshot | None:
        """The snapshot that the one in the wildcards continues from."""
        return self.plan.predecessor(snapshot(wildcards))


def snapshot(wildcards: Any) -> Snapshot:
    return Snapshot(wildcards.source, float(wildcards.epoch))


def extractor(wildcards: Any) -> Snapshot:
    """The snapshot in whose features a similarity is computed: named, or the source's own."""
    source, _, epoch = wildcards.extractor.removeprefix("/").partition("@")
    return Snapshot(source, float(epoch)) if source else snapshot(wildcards)


def pack(wildcards: Any) -> Pack:
    return Pack(
        snapshot(wildcards),
        wildcards.target,
        wildcards.variant,
        int(wildcards.first),
        int(wildcards.last),
    )
