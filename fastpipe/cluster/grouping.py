"""Which Snakemake jobs are submitted together, and what they ask for as one."""

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Resources", "alike", "merged", "split"]

_OWN = {"mem_mb", "mem_mib", "disk_mb", "disk_mib", "runtime", "seconds", "tmpdir"}
"""Resources in which jobs of a batch may differ."""

_SUMMED = {"runtime", "seconds"}
"""Those that a batch needs one after the other; of others it needs the most that a member does."""


class Resources(dict):
    """Resources by name, also as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def alike(rule: str, threads: int, resources: Mapping[str, Any]) -> tuple:
    """Equal for jobs that may share a batch."""
    rest = {k: v for k, v in resources.items() if k not in _OWN and not k.startswith("_")}
    return rule, threads, tuple(sorted((name, str(value)) for name, value in rest.items()))


def merged(members: Iterable[Mapping[str, Any]]) -> Resources:
    """What members that run one after the other ask for together."""
    together = Resources()
    for name, value in (item for resources in members for item in resources.items()):
        if name not in together or not isinstance(value, (int, float)):
            together.setdefault(name, value)
        elif name in _SUMMED:
            together[name] += value
        else:
            together[name] = max(together[name], value)
    return together


def split(seconds: list[float], most_seconds: float, most_members: int) -> list[list[int]]:
    """Cut a row of jobs, of these durations, into batches of successive ones.

    Returns:
        Indices by batch. A batch takes `most_seconds` at most, unless it is a single job.
    """
    batches: list[list[int]] = []
    total = 0.0
    for index, duration in enumerate(seconds):
        total += duration
        if not batches or total > most_seconds or len(batches[-1]) >= most_members:
            batches.append([])
            total = duration
        batches[-1].append(index)
    return batches
