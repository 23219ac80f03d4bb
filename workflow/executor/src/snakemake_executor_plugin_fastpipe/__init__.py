"""`snakemake --executor fastpipe`: Snakemake finds executors by the name of a top-level package.

It imports them all at every start, before it reads the Snakefile. Nothing of fastpipe may be
imported then: the Snakefile says which fastpipe, the one beside it.
"""

from dataclasses import dataclass, field
from typing import Any

import snakemake_executor_plugin_slurm as slurm
from snakemake_executor_plugin_slurm import common_settings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]


@dataclass
class ExecutorSettings(slurm.ExecutorSettings):
    """The SLURM plugin's settings, and those of batches."""

    batch_minutes: float = field(
        default=10,
        metadata={"help": "Ready jobs of a rule share a SLURM job of about so many minutes."},
    )
    batch_jobs: int = field(
        default=50, metadata={"help": "The most jobs that share a SLURM job; 1: none do."}
    )
    batch_wait: float = field(
        default=60, metadata={"help": "The most seconds that a ready job waits for others."}
    )


class Executor(slurm.Executor):
    """Stands for :class:`fastpipe.cluster.executor.Executor` until one is made."""

    def __new__(cls, workflow: Any, logger: Any) -> slurm.Executor:
        from fastpipe.cluster.executor import Executor

        return Executor(workflow, logger)
