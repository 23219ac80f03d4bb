"""A stage at work on a device: it holds one, says what it used, and explains what goes wrong."""

import contextlib
import resource
import threading
import time
from collections.abc import Iterator

import torch

from fastpipe.config.compute import Compute
from fastpipe.devices import DeviceLostError, claim_gpu
from fastpipe.errors import UserError
from fastpipe.models.compute import Resolved, resolve
from fastpipe.stages.job import Job

__all__ = ["INFERENCE", "on_device"]

INFERENCE = "batches that fastpipe sizes by the images"
"""What goes through a network at once where nothing is trained."""

_SAMPLE_EVERY_SECONDS = 1.0
_GIB = 2**30
_FAILURES = ("CUDA error", "CUDA driver error", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS")
"""How torch's messages begin, or what they contain, when a GPU or its driver has failed."""


@contextlib.contextmanager
def on_device(job: Job, compute: Compute, batch: str) -> Iterator[Resolved]:
    """Hold a device while the body computes; put what it was and what it gave into the timing file.

    There are then `device` (the GPU's name, or cpu), `precision`, `peak_bytes` (the most memory
    that torch took from the GPU; on the CPU, the process's largest resident size) and
    `utilisation`, the mean share of the time in which the GPU computed anything, for us or others
    (null on the CPU, and without the package nvidia-ml-py).

    Args:
        job: the stage's.
        compute: what is asked for.
        batch: what goes through the network at once, in words, should memory run out.

    Raises:
        UserError: no device can be used, or its memory does not suffice.
        DeviceLostError: the GPU failed.
    """
    gpu, asked = None, time.monotonic()
    try:
        with claim_gpu(compute.device, str(job.folder)) as gpu:
            job.waited_seconds += time.monotonic() - asked
            # What has been claimed is what is used, should a GPU disappear just now.
            resolved = resolve(compute.model_copy(update={"device": "cuda" if gpu else "cpu"}))
            with (
                _memory_of_its_own(resolved.device),
                _Utilisation(resolved.device) as utilisation,
                _shortage_explained(batch),
            ):
                yield resolved
                job.measure(
                    device=_name(resolved.device),
                    precision=resolved.precision,
                    peak_bytes=_peak_bytes(resolved.device),
                )
            job.measure(utilisation=utilisation.mean)
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _FAILURES):
            raise
        raise DeviceLostError(
            f"GPU {gpu} failed: {_first_line(error)}. Nothing was computed on the CPU instead; "
            "checkpoints are kept. If it fails again, look at `nvidia-smi` and the kernel's "
            "messages, and leave that GPU out with CUDA_VISIBLE_DEVICES.",
            gpu or "",
        ) from error


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


@contextlib.contextmanager
def _memory_of_its_own(device: torch.device) -> Iterator[None]:
    """A process may do several stages: each has its own peak, and leaves the GPU's memory free."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    yield
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextlib.contextmanager
def _shortage_explained(batch: str) -> Iterator[None]:
    """Say what to do when the memory of the GPU does not suffice."""
    try:
        yield
    except RuntimeError as error:  # torch's own allocator's, or the driver's
        short = isinstance(error, torch.OutOfMemoryError)
        if not short and "CUDA error: out of memory" not in str(error):
            raise
        device = torch.device("cuda")
        free, total = torch.cuda.mem_get_info(device)
        raise UserError(
            f"out of memory on {_name(device)} with {batch}: this job took up to "
            f"{_peak_bytes(device) / _GIB:.2f} GiB of the GPU's {total / _GIB:.2f}, of which "
            f"{free / _GIB:.2f} are free now ({_first_line(error)}). Make batches smaller, let "
            "fewer jobs share a GPU (settings.gpu_slots), or use a GPU with more memory."
        ) from error


def _first_line(error: RuntimeError) -> str:
    return str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")


class _Utilisation:
    """Samples how busy a GPU is, in a thread, for as long as the context lasts."""

    def __init__(self, device: torch.device):
        self._samples: list[int] = []
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        if device.type == "cuda":
            index = torch.cuda.current_device()  # a thread has its own
            self._thread = threading.Thread(target=self._sample, args=[index], daemon=True)

    def __enter__(self) -> "_Utilisation":
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread:
            self._thread.join()

    @property
    def mean(self) -> float | None:
        """Share of the time, in [0, 1]; None if it was not sampled."""
        return sum(self._samples) / len(self._samples) / 100 if self._samples else None

    def _sample(self, index: int) -> None:
        # ModuleNotFoundError without nvidia-ml-py, RuntimeError and NVMLError where NVML fails:
        # it is worth knowing, not worth failing for.
        with contextlib.suppress(Exception):
            over = False
            while not over:
                over = self._end.wait(_SAMPLE_EVERY_SECONDS)
                self._samples.append(torch.cuda.utilization(index))
