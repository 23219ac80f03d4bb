"""The GPUs of this machine: which a job may use, and that no more jobs than agreed use one.

A job that computes on CUDA holds a place on a GPU by a file lock, which the kernel releases when
the job dies. All jobs of a user on a machine, from whatever results folder, look for their locks in
one folder of that machine. A GPU has as many places as `settings.gpu_slots` says.

Which GPUs: those that CUDA_VISIBLE_DEVICES names, else all. Nothing is ever computed on the CPU
because a GPU that should be there is not. Nothing here makes a CUDA context before a place is
held, so a job that waits takes no memory of any GPU.
"""

import contextlib
import itertools
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from fastpipe.errors import UserError
from fastpipe.files import write_bytes

__all__ = [
    "LOST",
    "SLOTS",
    "DeviceLostError",
    "claim_gpu",
    "hidden_by",
    "likely_device",
    "usable_gpus",
]

SLOTS = "FASTPIPE_GPU_SLOTS"
"""Environment variable by which the Snakefile tells jobs `settings.gpu_slots`. It is in no spec,
since it changes no result."""

LOST = "FASTPIPE_LOST_GPU"
"""Environment variable that tells a second attempt which GPU failed under the first."""

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_NONE = ("", "NoDevFiles")
"""Values of CUDA_VISIBLE_DEVICES by which schedulers and users say that there is no GPU for a job;
a number below 0 says so too."""
_ALLOCATION = ("SLURM_JOB_ID", "SLURM_STEP_ID", "PBS_JOBID", "LSB_JOBID")
"""Within what a scheduler has given, and there alone, is GPU 0 one and the same GPU."""


class DeviceLostError(UserError):
    """A GPU stopped working under a job; another process may have more luck."""

    def __init__(self, message: str, gpu: str = ""):
        super().__init__(message)
        self.gpu = gpu
        """Its name, as in :func:`usable_gpus`."""


def usable_gpus(device: Literal["auto", "cpu", "cuda"]) -> list[str]:
    """Names of the GPUs that a job may use, in torch's order; none: it is to use the CPU.

    A name is what CUDA_VISIBLE_DEVICES says (a number or UUID) or, where that is not set, torch's
    number.

    Raises:
        UserError: `cuda` is asked for and there is none; CUDA_VISIBLE_DEVICES names some that torch
            does not find; or, if `auto` is asked for, this machine has GPUs that torch cannot use.
    """
    if device == "cpu":
        return []
    count, named = _count(), _named()
    if count < len(named or []):
        raise UserError(
            f"{_VISIBLE}={os.environ[_VISIBLE]} names {len(named)} of this machine's GPUs, but "
            f"torch finds {count}{_why(count)}. Correct it, or repair the driver. To compute on "
            "the CPU, set compute.device to `cpu` in the settings."
        )
    if named == [] and device == "auto":
        return []
    if count:
        return named or [str(index) for index in range(count)]
    if device == "cuda":
        said = "not set" if named is None else f"{os.environ[_VISIBLE]!r}"
        raise UserError(
            f"compute.device is `cuda`, but torch finds no GPU ({_VISIBLE} is {said})"
            f"{_why(count)}. Set it to `auto` or `cpu` in the settings, or repair the driver."
        )
    if files := _device_files():
        raise UserError(
            f"this machine has a GPU ({files[0]}), but torch cannot use it{_why(count)}. Repair "
            "the driver. To compute on the CPU, set compute.device to `cpu` in the settings."
        )
    return []


def likely_device(device: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """What a job will probably compute on, told without torch: by CUDA_VISIBLE_DEVICES or else by
    NVIDIA's device files. A GPU without these is not seen."""
    if device != "auto":
        return device
    named = _named()
    gpus = _device_files() if named is None else named
    return "cuda" if gpus else "cpu"


def hidden_by() -> str | None:
    """What hides all GPUs, `CUDA_VISIBLE_DEVICES=…`; None if they are not."""
    return f"{_VISIBLE}={os.environ[_VISIBLE]}" if _named() == [] else None


def _named() -> list[str] | None:
    """What CUDA_VISIBLE_DEVICES names; None if it is not set. CUDA stops reading at a number below
    0, too."""
    text = os.environ.get(_VISIBLE)
    if text is None:
        return None
    entries = (entry.strip() for entry in text.split(","))
    return list(itertools.takewhile(lambda e: e not in _NONE and not e.startswith("-"), entries))


def _count() -> int:
    """GPUs that torch can use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _why(count: int) -> str:
    """What torch says if it finds none, in brackets."""
    import torch

    if count:
        return ""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return f" ({str(error).strip().splitlines()[0].rstrip('.')})"
    return ""


def _device_files(folder: Path = Path("/dev")) -> list[Path]:
    """Device files of GPUs that this process may open, or could if they worked."""
    files = (p for p in folder.glob("nvidia*") if re.fullmatch(r"nvidia\d+", p.name))
    return [file for file in sorted(files) if not _is_closed_to_us(file)]


def _is_closed_to_us(file: Path) -> bool:
    """A scheduler that has given a job no GPU leaves the files, and forbids to open them."""
    try:
        os.close(os.open(file, os.O_RDWR))
    except PermissionError:
        return True
    except OSError:  # the driver answers, but not as it should
        return False
    return False


@contextlib.contextmanager
def claim_gpu(
    device: Literal["auto", "cpu", "cuda"],
    who: str,
    *,
    folder: Path | None = None,
    poll_seconds: float = 1.0,
) -> Iterator[str | None]:
    """Hold a place on a GPU, which is torch's current CUDA device meanwhile; yields its name.

    Yields None, and does nothing, if the job is to use the CPU. While all places are taken it
    waits, saying so once and by whom. The GPU with the fewest of our jobs is taken.

    Args:
        device: the job's `compute.device`.
        who: what the job does, for those who wait.
        folder: of the locks; default: one for this user on this machine.
        poll_seconds: time between attempts.

    Raises:
        UserError: see :func:`usable_gpus`; or the folder of the locks is not this user's alone.
    """
    names = usable_gpus(device)
    if not names:
        yield None
        return
    import torch

    with (
        _place(names, folder or _locks_folder(), who, poll_seconds) as name,
        torch.cuda.device(names.index(name)),
    ):
        yield name


@contextlib.contextmanager
def _place(names: Sequence[str], folder: Path, who: str, poll_seconds: float) -> Iterator[str]:
    """Wait for a place on one of some GPUs, and hold it; yields the GPU's name."""
    folder.mkdir(parents=True, exist_ok=True)
    # First places first, so that GPUs fill evenly; one that failed under this job comes last.
    ordered = sorted(names, key=lambda name: name == os.environ.get(LOST))
    slots = range(int(os.environ.get(SLOTS, "1")))
    places = {_file(folder, name, slot): name for slot in slots for name in ordered}
    lock = _first_free(places)
    if lock is None:
        held = "; ".join(f"{name} by {_holder(file)}" for file, name in places.items())
        print(f"waiting for a GPU. Held are {held}", flush=True)
    while lock is None:
        time.sleep(poll_seconds)
        lock = _first_free(places)
    file = Path(lock.lock_file)
    try:
        _sign(file, who)
        yield places[file]
    finally:
        lock.release()


def _first_free(files: Iterable[Path]) -> Any:
    """A lock on the first file that nobody holds, or None."""
    from filelock import FileLock, Timeout

    for file in files:
        lock = FileLock(file)
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            return lock
    return None


def _file(folder: Path, name: str, slot: int) -> Path:
    allocation = [os.environ[key] for key in _ALLOCATION if key in os.environ]
    safe = re.sub(r"[^\w.-]", "_", "-".join([*allocation, name, str(slot)]))
    return folder / f"gpu-{safe}.lock"


def _sign(file: Path, who: str) -> None:
    text = json.dumps({"pid": os.getpid(), "who": who, "since": time.strftime("%F %T")})
    write_bytes(file.with_suffix(".holder"), text.encode())


def _holder(file: Path) -> str:
    try:
        found: dict[str, Any] = json.loads(file.with_suffix(".holder").read_bytes())
        return f"process {found['pid']} ({found['who']}, since {found['since']})"
    except (OSError, ValueError, KeyError):
        return "another process"


def _locks_folder(parent: Path = Path("/tmp")) -> Path:
    """One for a user and a machine. TMPDIR and XDG_RUNTIME_DIR are not asked: they may differ
    between two shells of one user, and each would then take the same GPU.

    Raises:
        UserError: somebody else can write there.
    """
    folder = parent / f"fastpipe-gpus-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UserError(
            f"{folder} is to hold the locks of GPUs, but it is no folder of this user's alone. "
            "Remove it."
        )
    return folder
