"""The floor plan: read the configuration, look at the results, include the rules, name the targets."""

import contextlib
import functools
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# Not `workflow.basedir`: as a module this is not the main Snakefile.
HOME = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).resolve()
sys.path.insert(0, str(HOME))

from fastpipe.audit import State
from fastpipe.config.names import (
    DOWNLOADS,
    dataset_folder,
    features_folder,
    pack_folder,
    snapshot_folder,
)
from fastpipe.config.plan import SPLITS
from fastpipe.devices import SLOTS
from fastpipe.errors import UserError
from fastpipe.head import Head
from fastpipe.shortening import shorten_failures
from fastpipe.warm import ADDRESS, Warm
from fastpipe.workflow import Graph, extractor, pack, snapshot

# Rules call the `fastpipe` beside the Python that runs Snakemake, on the code beside this file.
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ["PATH"]]
)
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])]
)

# An address would be another snakemake's, or come from another machine.
WARM_STARTS = os.environ.pop(ADDRESS, "") != "off"

logger.addFilter(shorten_failures)

if workflow.config_settings.config:
    raise WorkflowError(
        "--config is not supported: its values would not be validated. "
        "Write them into a file and use --configfile FILE."
    )
if workflow.storage_settings.default_storage_provider:
    raise WorkflowError(
        "--default-storage-provider is not supported: what is current, stale or damaged is told "
        "from the records in `results`. Keep results in a folder (settings.results may name one on "
        "any disk), and put packed studies into object storage (README, Moving results)."
    )
CACHE = os.environ.get("SNAKEMAKE_OUTPUT_CACHE", "")
if workflow.workflow_settings.cache is not None and CACHE and not Path(CACHE).is_dir():
    raise WorkflowError(  # Snakemake would tell after the first job for the cache has run
        f"SNAKEMAKE_OUTPUT_CACHE names {CACHE}, which is no folder. Make it (mkdir -p), name "
        "another, or leave out --cache."
    )
HEAD = Head()


def claim_results():
    """From here on, until this process ends, no other snakemake works on these results."""
    if workflow.executor_plugin is not None and not workflow.dryrun:
        HEAD.claim()


try:
    graph = Graph.load(
        HOME,
        [Path(path) for path in workflow.configfiles],
        check_results=workflow.is_main_process,
        before_looking=claim_results,
    )
except UserError as error:
    raise WorkflowError(str(error)) from None

settings = graph.plan.config.settings
THREADS = settings.compute.threads
os.environ[SLOTS] = str(settings.gpu_slots)
GPU = 0 if settings.compute.device == "cpu" else 1
os.environ[DOWNLOADS] = str(Path(settings.downloads).expanduser())
RUNS = "runs/{source}@{epoch}/{target}/{variant}/seeds-{first}-{last}"


@functools.cache
def names(stage):
    """Names of a stage's output files."""
    return [Path(file).name for file in getattr(rules, stage).output]


def files(jobs):
    """The output files of jobs, but for those that were left out of a packed study."""
    paths = (f"{job.folder}/{name}" for job in jobs for name in names(job.stage))
    return [path for path in paths if path not in graph.plan.packed.places]


@functools.cache
def first_dag():
    return workflow.dag


def only_what_is_left():
    """Whether Snakemake is to do what is left, and no more: not to force, touch, list or tell."""
    dag = workflow.dag_settings
    named = dag.forceall, dag.forcerun, dag.forcetargets, dag.until, dag.omit_from
    runs = workflow.is_main_process and workflow.execution_settings is not None
    again = workflow.dag is not first_dag()  # for a report after the run
    return runs and not (again or workflow.touch or any(named))


def shown(jobs):
    """Those of jobs that Snakemake has to see: it takes milliseconds for each."""
    if not only_what_is_left():
        return jobs
    return [
        job
        for job in jobs
        if graph.state(job) is not State.CURRENT
        or not all(map(os.path.exists, files([job])))
    ]


@contextlib.contextmanager
def damage_ends_it():
    """In an input function: raised there, a UserError would get a traceback."""
    try:
        yield
    except UserError as error:
        logger.error(str(error))
        sys.exit(1)


def given(stage, paths):
    """Input function of a stage: files made by others, which depend on the wildcards."""

    def inputs(wildcards):
        dag = workflow.dag_settings
        forced = bool(dag.forceall or dag.forcerun or dag.forcetargets)
        with damage_ends_it():
            return graph.inputs(
                stage, wildcards, paths(wildcards), ancient, forced=forced
            )

    return inputs


def stale(stage):
    """The input that makes a stale job run again, whatever Snakemake's own notes say.

    No other job has it: its content would be part of the job's name in a cache.
    """

    def inputs(wildcards):
        with damage_ends_it():
            return graph.stale(stage, wildcards)

    return inputs


def in_folder(folder, *names):
    return [str(folder / name) for name in names]


def split_files(dataset, *splits):
    names = [f"{split}-{part}.npy" for split in splits for part in ("images", "labels")]
    records = [f"prepare-{split}.json" for split in splits]
    return in_folder(dataset_folder(dataset), *names, *records)


def snapshot_files(*names):
    return lambda wildcards: in_folder(snapshot_folder(snapshot(wildcards)), *names)


def pack_files(*names):
    return lambda wildcards: in_folder(pack_folder(pack(wildcards)), *names)


report: "workflow/report/workflow.rst"


wildcard_constraints:
    source="[^/@]+",
    epoch="[^/@]+",
    dataset="[^/]+",
    target="[^/]+",
    extractor="(/[^/]+)?",
    variant="[^/]+",
    first="[0-9]+",
    last="[0-9]+",
    study="[^/]+",


include: "workflow/rules/data.smk"
include: "workflow/rules/sources.smk"
include: "workflow/rules/similarity.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


# Jobs on this machine are forked from a process that has imported torch already.
WARM = []


def end_warm_process():
    for process in WARM:
        process.close()


onstart:
    # By default Snakemake starts so many jobs a second at most, and (9.27) for that a timer in every
    # scheduling round, which causes another round: hundreds a second after hundreds of jobs.
    workflow.scheduler.job_rate_limiter = None
    if workflow.local_exec and WARM_STARTS:
        with contextlib.suppress(OSError):  # jobs then import torch themselves
            WARM.append(Warm(Path("results/logs/warm.log")))


onsuccess:
    end_warm_process()


onerror:
    end_warm_process()


def wanted(study):
    """Input function of a target: whatever is missing or stale behind it, and the report."""

    def inputs(wildcards):
        with damage_ends_it():
            graph.look_at(study)
            return files([*shown(graph.plan.parts(study)), graph.plan.report(study)])

    return inputs


rule all:
    default_target: True
    input:
        wanted(settings.default_study),
    message:
        f"The report: results/studies/{settings.default_study}/report.html"


for study in graph.plan.targets:

    rule:
        name:
            study
        input:
            wanted(study),
        message:
            f"The report: results/studies/{study}/report.html"
