"""Which device and which arithmetic a job uses."""

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from filelock import FileLock, Timeout

from fastpipe.config.compute import Compute
from fastpipe.errors import UserError

__all__ = ["Resolved", "claim_gpu", "resolve"]


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


@dataclass(frozen=True)
class Resolved:
    """What `auto` turned out to mean on this machine."""

    device: torch.device
    precision: Literal["fp32", "bf16"]


def resolve(compute: Compute) -> Resolved:
    """Choose device and precision, and set up this process for them.

    `auto` precision is bf16 on a CUDA device of capability 8.0 or more and on a CPU with AMX or
    AVX512-BF16 instructions, else fp32. Sets torch's threads; on CUDA chooses deterministic
    algorithms and true fp32 (no TF32), so that the recorded precision is what was computed.

    Raises:
        UserError: `cuda` is asked for and there is none.
    """
    torch.set_num_threads(compute.threads)
    _keep_freed_memory()
    device = _device(compute.device)
    if device.type == "cuda":
        _make_cuda_deterministic()
    if compute.precision == "auto":
        return Resolved(device, "bf16" if _has_bf16_arithmetic(device) else "fp32")
    return Resolved(device, compute.precision)


def _device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    if name == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if name == "auto":
        return torch.device("cpu")
    raise UserError(
        "compute.device is `cuda`, but torch finds no CUDA device (CUDA_VISIBLE_DEVICES="
        f"{os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}). Set it to `auto` or `cpu`, or "
        "repair the driver."
    )


def _has_bf16_arithmetic(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory: handing it back costs page faults at every step.

    Measured with one thread: evaluation 8 % faster (ResNet-18), training in fp32 7 to 12 %.
    """
    with contextlib.suppress(AttributeError, OSError):  # another libc
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _make_cuda_deterministic() -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    # Some layers (adaptive pooling's gradient) have no deterministic form on CUDA: warn, go on.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # it costs time and adds nothing


@contextlib.contextmanager
def claim_gpu(
    locks: Path, device: Literal["auto", "cpu", "cuda"] = "auto", poll_seconds: float = 1.0
) -> Iterator[int | None]:
    """Hold a GPU no other job of ours uses, as torch's current CUDA device; yields its index.

    Yields None, and does nothing, if the job does not use CUDA or if a scheduler has already
    chosen by setting CUDA_VISIBLE_DEVICES. While all are taken it waits, saying so once.

    Args:
        locks: folder of the lock files, shared by all jobs of this machine.
        device: the job's `compute.device`.
        poll_seconds: time between attempts.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if device == "cpu" or chosen is not None or not torch.cuda.is_available():
        yield None
        return
    index, lock = _take_one(locks, torch.cuda.device_count(), poll_seconds)
    try:
        with torch.cuda.device(index):
            yield index
    finally:
        lock.release()


def _take_one(locks: Path, count: int, poll_seconds: float) -> tuple[int, FileLock]:
    locks.mkdir(parents=True, exist_ok=True)
    announced = False
    while True:
        for index in range(count):
            lock = FileLock(locks / f"gpu-{index}.lock")
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                return index, lock
        if not announced:
            print(f"waiting for one of {count} GPUs (locks in {locks})", flush=True)
            announced = True
        time.sleep(poll_seconds)
