"""Snakemake's SLURM executor, but for short jobs: several of a rule become one SLURM job.

The graph stays as it is, a Snakemake job for each pack; only the submission is shared. Snakemake
hands over jobs that are ready. They are held until there are enough of a kind for a batch
(`batch_minutes` by forecast), or no more will soon be ready, or for a minute (`batch_wait`). Then
they are submitted as one SLURM job, which runs :mod:`fastpipe.cluster.runner`: no Snakemake of its
own in the allocation, torch imported once. The node notes the end of each member in a file;
Snakemake hears of it while the batch still runs, so that what depends on the member can start. A
job that is tried again goes alone.

Jobs that Snakemake itself must run on the node (groups, scripts, environments, a cache) are
submitted as the SLURM plugin does.
"""

import shlex
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import snakemake_executor_plugin_slurm as slurm
from snakemake_executor_plugin_slurm.job_status_query import (
    query_job_status,
    query_job_status_sacct,
    query_job_status_squeue,
)
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from fastpipe.cluster.batch import Batch, Member, ended, remove
from fastpipe.cluster.grouping import alike, merged, split
from fastpipe.config.names import WORK

__all__ = ["Executor"]

BATCHES = WORK / "batches"
_LOOK_S = 2.0
"""Between looks at the files in which nodes note what has ended."""

_ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
}
"""States of SLURM jobs that do not run on; of those that it puts back into the queue neither stays
for long."""

_FORGOTTEN = "no longer known to SLURM"


class SharedJob:
    """Jobs in one submission; what the SLURM plugin asks of a job, this answers for them all."""

    wildcards = ()

    def __init__(self, members: list[Any], path: Path):
        self.members = members
        self.path = path
        self.open = dict(enumerate(members))
        """Members that Snakemake has not been told the end of, by their place in the batch."""
        self.rule = members[0].rule
        self.name = members[0].name
        self.threads = members[0].threads
        self.resources = merged(job.resources for job in members)
        self.jobid = ", ".join(str(job.jobid) for job in members)
        self.state = ""
        """The last that SLURM has said."""
        self.ended_at: float | None = None

    def is_group(self) -> bool:
        return False

    def register(self, external_jobid: str | None = None) -> None:
        for job in self.members:
            job.register(external_jobid=external_jobid)


class Executor(slurm.Executor):
    """See the module."""

    def __init__(self, workflow, logger):
        self._held: dict[tuple, list[tuple[float, Any]]] = {}
        """Jobs that wait for others of their kind, with the time since when."""
        self._to_come: set[str] = set()
        """Rules of jobs that may be ready soon."""
        self._lock_held = threading.Lock()
        self._count = 0
        self._next_query = self._next_plain_query = 0.0
        self._cancelled = False
        super().__init__(workflow, logger)

    def __post_init__(self, test_mode: bool = False) -> None:
        super().__post_init__(test_mode)
        self._withdraw_earlier_batches()

    def _withdraw_earlier_batches(self) -> None:
        """A snakemake that was killed leaves its SLURM jobs; what they do is submitted again."""
        for path in sorted(BATCHES.glob("*.json")):
            try:
                run = Batch.read(path).run
            except (OSError, ValueError, TypeError, KeyError):
                run = ""
            if run:
                subprocess.run(["scancel", "--name", run], check=False)
            remove(path)

    # --- submission -------------------------------------------------------------------------------

    def run_jobs(self, jobs: list[Any]) -> None:
        if alone := [job for job in jobs if not self._is_plain(job)]:
            super().run_jobs(alone)
        plain = [job for job in jobs if self._is_plain(job)]
        for job in plain:
            self.run_job_pre(job)
            self.workflow.async_run(_prepare(job))
        with self._lock_held:
            for job in plain:
                if job.attempt > 1:
                    self._submit_together([job])
                else:
                    kind = alike(job.rule.name, job.threads, job.resources)
                    self._held.setdefault(kind, []).append((time.time(), job))
            self._to_come = self._soon_ready()
            self._submit_held()

    def _is_plain(self, job: Any) -> bool:
        """Whether a node needs no Snakemake for it."""
        if job.is_group() or not job.is_shell or job.is_shadow:
            return False
        if SharedFSUsage.INPUT_OUTPUT not in self.workflow.storage_settings.shared_fs_usage:
            return False
        cached = self.workflow.workflow_settings.cache is not None and job.rule.cache
        return not (cached or job.conda_env_spec or job.container_img_url or job.env_modules)

    def _soon_ready(self) -> set[str]:
        """Rules of jobs that wait for nothing but what is being made now."""
        dag, scheduler = self.workflow.dag, self.workflow.scheduler
        at_work = scheduler.running - {job for held in self._held.values() for _, job in held}
        return {
            job.name
            for job in scheduler.remaining_jobs
            if all(
                before in at_work or dag.finished(before) or not dag.needrun(before)
                for before in dag.dependencies[job]
            )
        }

    def _submit_held(self) -> None:
        """Submit full batches, and the rest of a kind once its first has waited long enough, or if
        no more are to come."""
        settings = self.executor_settings
        for kind, held in list(self._held.items()):
            jobs = [job for _, job in held]
            seconds = [float(job.resources.get("seconds", 0)) for job in jobs]
            batches = split(seconds, 60 * settings.batch_minutes, settings.batch_jobs)
            late = held[0][0] + settings.batch_wait <= time.time()
            if kind[0] in self._to_come and not late:  # the last may still grow
                batches = batches[:-1]
            submitted = sum(map(len, batches))
            self._held[kind] = held[submitted:]
            if not self._held[kind]:
                del self._held[kind]
            for batch in batches:
                self._submit_together([jobs[index] for index in batch])

    def _submit_together(self, jobs: list[Any]) -> None:
        self._count += 1
        path = (BATCHES / f"{self.run_uuid[-12:]}-{self._count}.json").resolve()
        self._job_submission_executor.submit(self._write_and_submit, SharedJob(jobs, path))

    def _write_and_submit(self, shared: SharedJob) -> None:
        """In a thread: what is raised here would go unheard."""
        try:
            members = tuple(_member(job) for job in shared.members)
            patience = self.workflow.execution_settings.latency_wait
            Batch(str(Path.cwd()), self.run_uuid, patience, members).write(shared.path)
        except Exception as error:
            self.report_job_error(SubmittedJobInfo(shared), msg=f"it was not submitted: {error}")
        else:
            if not self._cancelled:
                self.run_job(shared)

    def format_job_exec(self, job: Any) -> str:
        if not isinstance(job, SharedJob):
            return super().format_job_exec(job)
        module = "fastpipe.cluster.runner"
        return f"exec {shlex.quote(sys.executable)} -m {module} {shlex.quote(str(job.path))}"

    # --- what has ended ---------------------------------------------------------------------------

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncIterator[SubmittedJobInfo]:
        with self._lock_held:
            self._submit_held()
        shared = [info for info in active_jobs if isinstance(info.job, SharedJob)]
        alone = [info for info in active_jobs if not isinstance(info.job, SharedJob)]
        if alone and time.time() >= self._next_plain_query:
            async for info in super().check_active_jobs(alone):
                yield info
            self._next_plain_query = time.time() + self.next_seconds_between_status_checks
        else:
            for info in alone:
                yield info
        if shared and time.time() >= self._next_query:
            await self._ask_slurm(shared)
            self._next_query = time.time() + self._between_queries
        for info in shared:
            self._report_members(info)
            if info.job.open:
                yield info
            else:
                self._tidy(info)
        self.next_seconds_between_status_checks = _LOOK_S

    @property
    def _between_queries(self) -> float:
        return self.executor_settings.init_seconds_before_status_checks

    async def _ask_slurm(self, shared: list[SubmittedJobInfo]) -> None:
        command = {"sacct": query_job_status_sacct}.get(
            self.get_status_command(), query_job_status_squeue
        )
        async with self.status_rate_limiter:
            states, _ = await query_job_status(command(self.run_uuid), self.logger)
        if states is None:  # SLURM does not answer now
            return
        for info in shared:
            job = info.job
            known = states.get(info.external_jobid)
            job.state = (known or _FORGOTTEN).split(" by ")[0]  # CANCELLED by 0
            over = known is None or job.state in _ENDED
            job.ended_at = (job.ended_at or time.time()) if over else None

    def _report_members(self, info: SubmittedJobInfo) -> None:
        """Tell Snakemake of members that have ended; once the batch has, and some time has passed
        for its last words to arrive, the others have failed."""
        job = info.job
        for number, code in ended(job.path).items():
            member = job.open.pop(number, None)
            if member and code == 0:
                self.report_job_success(SubmittedJobInfo(member, info.external_jobid, info.aux))
            elif member:
                self._report_failure(info, member, _explained(code))
        patience = self.workflow.execution_settings.latency_wait
        if job.ended_at is not None and time.time() > job.ended_at + patience:
            self._fail(info, f"its SLURM job is {job.state}")

    def _fail(self, info: SubmittedJobInfo, why: str) -> None:
        while info.job.open:
            self._report_failure(info, info.job.open.pop(min(info.job.open)), why)

    def _report_failure(self, info: SubmittedJobInfo, member: Any, why: str) -> None:
        log = str((info.aux or {}).get("slurm_logfile", ""))
        own = SubmittedJobInfo(member, info.external_jobid, info.aux)
        super().report_job_error(own, msg=f"{why[0].upper()}{why[1:]}. ", aux_logs=[log])

    def report_job_error(self, job_info: SubmittedJobInfo, msg: str | None = None, **kwargs):
        """Also for a batch that could not be submitted."""
        if isinstance(job_info.job, SharedJob):
            self._fail(job_info, msg or "it could not be submitted")
            self._tidy(job_info)
        else:
            super().report_job_error(job_info, msg=msg, **kwargs)

    def _tidy(self, info: SubmittedJobInfo) -> None:
        codes = ended(info.job.path).values()
        remove(info.job.path)
        complete = len(codes) == len(info.job.members) and not any(codes)
        if complete and info.aux and not self.executor_settings.keep_successful_logs:
            info.aux["slurm_logfile"].unlink(missing_ok=True)

    def cancel_jobs(self, active_jobs: Iterable[SubmittedJobInfo]) -> None:
        """All of this process's jobs: some may be missing in the list, while it is worked on."""
        with self._lock_held:
            self._held.clear()
            self._cancelled = True
        self._job_submission_executor.shutdown(wait=True)
        subprocess.run(["scancel", "--name", self.run_uuid], check=False)
        for path in BATCHES.glob(f"{self.run_uuid[-12:]}-*.json"):
            remove(path)


async def _prepare(job: Any) -> None:
    """What Snakemake does before a job starts: old outputs go, folders are made."""
    await job.remove_existing_output()
    for file in (*job.output, *job.log, *filter(None, [job.benchmark])):
        file.prepare()


def _member(job: Any) -> Member:
    return Member(
        command=job.shellcmd,
        threads=job.threads,
        inputs=tuple(map(str, job.input)),
        benchmark=str(job.benchmark or ""),
    )


def _explained(code: int) -> str:
    if code == 137:
        return "it was killed (exit code 137), as when it needs more memory than it asked for"
    return f"it ended with exit code {code}"
