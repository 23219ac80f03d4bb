"""What to measure where there is a GPU: `python -m benchmarks.gpu [--downloads FOLDER]`.

1. the tests marked `gpu`;
2. steps a second and memory of the training loop, bf16 beside fp32;
3. the demo on CUDA, in a folder of its own: one job at a time on a GPU, then two at once
   (`gpu_slots: 2`), which must give the same bytes.

`--downloads` is a folder of earlier downloads, for a machine without a network. With
`nvidia-ml-py` installed the demo also says how busy the GPU was. Takes some minutes.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.loop import CASES, IMAGES, updates
from benchmarks.networks import network, split, where
from benchmarks.table import Row, print_table
from benchmarks.timing import interleaved, ratio
from fastpipe.config.compute import Compute
from fastpipe.errors import UserError
from fastpipe.files import digest
from fastpipe.models.compute import Resolved, resolve

__all__ = ["main"]

HOME = Path(__file__).parent.parent
TABLES = ("steps", "dynamics", "layers", "validations", "deployments", "runs", "adp", "forgetting")
_MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--downloads", type=Path, help="folder of earlier downloads")
    downloads = parser.parse_args().downloads
    try:
        device = resolve(Compute(device="cuda")).device
    except UserError as error:
        sys.exit(f"error: this benchmark needs a GPU: {error}")
    tests = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", str(HOME)]
    if subprocess.run(tests, cwd=HOME).returncode:
        sys.exit("error: tests marked `gpu` fail")
    print_table([*_loops(device), *_demos(downloads)], "fastpipe on a GPU")


def _loops(device: torch.device) -> Iterator[Row]:
    """Milliseconds a step and peak memory: bf16 beside fp32."""
    for name, (backbone, size, channels, batch, _) in CASES.items():
        steps, images = 50, split(IMAGES, size, channels)
        loops, peaks = {}, {}
        for precision in ("bf16", "fp32"):
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            net = network(backbone, channels, Resolved(device, precision))
            loops[precision] = updates(net, images, steps, batch_size=batch, flip=True)
            before = torch.cuda.memory_allocated()
            loops[precision]()
            peaks[precision] = (torch.cuda.max_memory_allocated() - before) / _MIB
        seconds = interleaved(loops, rounds=7)
        each = {who: 1e3 * statistics.median(t) / steps for who, t in seconds.items()}
        what = f"{name}, {size} px, batch {batch}"
        note = f"bf16 beside fp32; {batch / each['bf16'] * 1e3:,.0f} images/s; {where(device)}"
        times = ratio(seconds["fp32"], seconds["bf16"])
        yield Row(f"gpu / step: {what}", each["bf16"], each["fp32"], times, "ms/step", "", note)
        share = peaks["bf16"] / peaks["fp32"]
        note = "beyond network and images; bf16 beside fp32"
        yield Row(f"gpu / memory: {what}", *peaks.values(), share, "MiB", "", note)


class _Demo(NamedTuple):
    seconds: float
    digests: dict[str, str]
    peak_bytes: int
    utilisation: float | None


def _demos(downloads: Path | None) -> Iterator[Row]:
    """The demo with one job at a time on a GPU, and with two at once."""
    one, two = _demo(1, downloads), _demo(2, downloads)
    if one.digests != two.digests:
        changed = [name for name in one.digests if one.digests[name] != two.digests.get(name)]
        sys.exit(f"error: two jobs at once on a GPU gave other results: {', '.join(changed)}")
    busy = [f"{d.utilisation:.0%} busy" if d.utilisation else "not sampled" for d in (one, two)]
    note = f"{len(one.digests)} tables the same; {busy[1]}, else {busy[0]}"
    speed = one.seconds / two.seconds
    yield Row("gpu / demo: two jobs on a GPU", two.seconds, one.seconds, speed, "s", "", note)
    peaks = [d.peak_bytes / _MIB for d in (two, one)]
    yield Row("gpu / demo: memory of a job", *peaks, None, "MiB", "", "largest of all jobs")


def _demo(slots: int, downloads: Path | None) -> _Demo:
    """Build the demo from nothing, with two jobs at once if they find a place."""
    settings = {"compute": {"device": "cuda", "threads": 1}, "gpu_slots": slots}
    if downloads:
        settings["downloads"] = str(downloads.resolve())
    folder = Path(tempfile.mkdtemp(prefix="fastpipe-gpu-"))
    try:
        (folder / "gpu.yaml").write_text(json.dumps({"settings": settings}))
        command = [str(Path(sys.executable).with_name("snakemake")), "demo", "--cores", "2"]
        command += ["--snakefile", str(HOME / "Snakefile"), "--configfile", "gpu.yaml"]
        started = time.monotonic()
        done = subprocess.run(command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"})
        if done.returncode:
            sys.exit("error: the demo failed")
        return _described(folder / "results", time.monotonic() - started)
    finally:
        shutil.rmtree(folder)


def _described(results: Path, seconds: float) -> _Demo:
    trained = [json.loads(f.read_bytes()) for f in results.rglob("finetune.timing.json")]
    if any(timing["device"] == "cpu" for timing in trained):
        sys.exit("error: a job was computed on the CPU")
    files = [file for table in TABLES for file in results.glob(f"runs/**/{table}.parquet")]
    digests = {str(file.relative_to(results)): digest(file) for file in sorted(files)}
    busy = [t["utilisation"] for t in trained if t["utilisation"] is not None]
    mean = statistics.mean(busy) if busy else None
    return _Demo(seconds, digests, max(timing["peak_bytes"] for timing in trained), mean)


if __name__ == "__main__":
    main()
