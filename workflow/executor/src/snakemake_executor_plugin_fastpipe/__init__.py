"""`snakemake --executor fastpipe`: Snakemake finds executors by the name of a top-level package."""

from fastpipe.cluster.executor import Executor, ExecutorSettings, common_settings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]
