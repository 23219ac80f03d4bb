"""The floor plan: read the configuration, look at the results, include the rules, name the targets."""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(workflow.basedir))

from fastpipe.config.names import (
    dataset_folder,
    features_folder,
    pack_folder,
    snapshot_folder,
)
from fastpipe.config.plan import SPLITS
from fastpipe.errors import UserError
from fastpipe.workflow import STALE, Graph, pack, snapshot

# Rules call the `fastpipe` beside the Python that runs Snakemake, on the code beside this file.
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ["PATH"]]
)
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(workflow.basedir), *filter(None, [os.environ.get("PYTHONPATH")])]
)

if workflow.config_settings.config:
    raise WorkflowError(
        "--config is not supported: its values would not be validated. "
        "Write them into a file and use --configfile FILE."
    )
try:
    graph = Graph.load(
        Path(workflow.basedir),
        [Path(path) for path in workflow.configfiles],
        check_results=workflow.is_main_process,
    )
except UserError as error:
    raise WorkflowError(str(error)) from None

settings = graph.plan.config.settings
THREADS = settings.compute.threads
GPU = 0 if settings.compute.device == "cpu" else 1
DOWNLOADS = str(Path(settings.downloads).expanduser())
RUNS = "runs/{source}@{epoch}/{target}/{variant}/seeds-{first}-{last}"


# Inputs are `ancient` unless the job is stale: a job runs again when its identity (its own
# declaration and code and those of everything it is made from) changes or when a file is missing;
# never because a file was touched or an input was computed anew to the same bytes. A stale job's
# inputs are ordinary, since Snakemake looks for no reason of its own in a job behind one that runs.
# `collect` is cheap and always follows.


def files(jobs):
    """The output files of jobs."""
    return [
        str(job.folder / Path(f).name)
        for job in jobs
        for f in getattr(rules, job.stage).output
    ]


def given(stage, paths):
    """Input function of a stage: paths that depend on the wildcards, `ancient` unless stale."""

    def inputs(wildcards):
        stale = graph.is_stale(stage, wildcards)
        return [path if stale else ancient(path) for path in paths(wildcards)]

    return inputs


def stale(stage):
    """The input that makes a stale job run again, whatever Snakemake's own notes say."""
    return given(stage, lambda wildcards: [str(STALE)])


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


wildcard_constraints:
    source="[^/@]+",
    epoch="[^/@]+",
    dataset="[^/]+",
    target="[^/]+",
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


# A target names every file behind it, so that whatever is deleted is rebuilt.
rule all:
    default_target: True
    input:
        files(graph.plan.jobs(settings.default_study)),


for study in graph.plan.targets:

    rule:
        name:
            study
        input:
            files(graph.plan.jobs(study)),
