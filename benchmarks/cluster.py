"""What a job costs on a cluster before it does anything: in a batch, alone, by the plain plugin.

On a SLURM that is started for it (tests/cluster/slurm.py), where its programs are installed.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

from benchmarks.starts import _JOB
from benchmarks.table import Row

__all__ = ["run"]

_HOME = Path(__file__).parent.parent
_JOBS = 8
_SNAKEFILE = """
rule all:
    input: expand("out/{{n}}", n=range({jobs}))
rule start:
    output: "out/{{n}}"
    resources: mem_mb=1000, runtime=10, seconds=1
    shell: {command!r}
"""
_COMMON = ("--jobs", "100", "--quiet", "all", "--latency-wait", "5", "--default-resources")
_WAYS = {
    "plain": ("slurm",),
    "alone": ("fastpipe", "--fastpipe-batch-jobs", "1"),
    "batch": ("fastpipe",),
}


def run() -> list[Row]:
    """A stage up to its first input, eight of them; seconds of the node for each."""
    slurm = _slurm()
    try:
        slurm.require(install=False)
    except slurm.Unavailable as error:
        print(f"no benchmark of the cluster: {error}", file=sys.stderr)
        return []
    with (
        tempfile.TemporaryDirectory() as folder,
        slurm.running(Path(folder) / "slurm") as cluster,
    ):
        node, wall = {}, {}
        for way in _WAYS:
            wall[way], node[way] = _measure(cluster, Path(folder) / way, way)
    note = f"{_JOBS} jobs ready together; from snakemake's start to its end: "
    note += ", ".join(f"{way} {seconds:.0f} s" for way, seconds in wall.items())
    return [
        Row(
            f"cluster job that does nothing: {name} / plain plugin",
            node[way],
            node["plain"],
            node[way] / node["plain"],
            "s",
            aim,
            note if way == "batch" else "",
        )
        for way, name, aim in (("batch", "in a batch", "≤ 0.25"), ("alone", "alone", "≤ 1"))
    ]


def _slurm() -> ModuleType:
    file = _HOME / "tests" / "cluster" / "slurm.py"
    spec = importlib.util.spec_from_file_location("cluster_slurm", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _measure(cluster, folder: Path, way: str) -> tuple[float, float]:
    """Seconds of snakemake, and node-seconds for each job."""
    folder.mkdir()
    # It ends when it finds its input missing.
    words = " ".join(f"'{word}'" for word in _JOB).replace("{", "{{").replace("}", "}}")
    text = _SNAKEFILE.format(jobs=_JOBS, command=f"{words} 2> /dev/null || touch {{output}}")
    (folder / "Snakefile").write_text(text)
    path = [_HOME, _HOME / "workflow" / "executor" / "src"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    program = Path(sys.executable).with_name("snakemake")
    executor, *options = _WAYS[way]
    prompt = (f"--{executor}-init-seconds-before-status-checks", "1")
    states = (f"--{executor}-status-command", "squeue")
    started = time.perf_counter()
    subprocess.run(
        [program, "--executor", executor, *prompt, *states, *options, *_COMMON, "runtime=10"],
        **{"cwd": folder, "env": environment, "check": True, "capture_output": True},
    )
    wall = time.perf_counter() - started
    listing = cluster.ask("squeue", "--noheader", "--states=all", "--format=%M|%Z").splitlines()
    used = [line.split("|")[0] for line in listing if line.split("|")[1] == str(folder)]
    return wall, sum(map(_seconds, used)) / _JOBS


def _seconds(clock: str) -> int:
    """Of `1:02:03` or `2:03`."""
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return total
