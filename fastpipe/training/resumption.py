"""Saving a training run so that a killed one goes on exactly where it was saved.

Everything that a run is made of goes into one safetensors file: the tensors (network, optimiser
state, best state) and, in its header, the rows so far as JSON. Random numbers need no saving,
since they are functions of the step. The file's name holds its step and its own SHA-256: a file
torn by a crash is known by its name and passed over, so nothing need be forced to the disk.

The log of executed steps has a line for each step at the time it is taken. A resumed run can show
from it how many steps were repeated.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from fastpipe.files import canonical_json, digest
from fastpipe.models.checkpoint import load_tensors, save_tensors
from fastpipe.stopping import Stopped, told_to_stop

__all__ = [
    "Executed",
    "Saved",
    "Saver",
    "Saving",
    "StepLog",
    "Watcher",
    "load_optimiser",
    "optimiser_tensors",
    "prefixed",
    "restored",
    "without_prefix",
]

LEAST_INTERVAL_SECONDS = 1.0
"""Two saves are at least this far apart."""
LARGEST_SHARE = 0.005
"""Saving takes at most about this share of the time."""


class Saved(NamedTuple):
    """What a run was saved as."""

    tensors: dict[str, Tensor]
    notes: Any
    """JSON values."""


class Saver:
    """Keeps the newest state of a run in a folder, and decides when to save the next.

    Args:
        folder: made if missing; holds nothing else that ends in `.safetensors`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.seconds = 0.0
        """Time spent on saving so far."""
        folder.mkdir(parents=True, exist_ok=True)
        self._saved_at = time.monotonic()
        self._interval = LEAST_INTERVAL_SECONDS

    def due(self) -> bool:
        """Whether so much time has passed that another save costs less than half a per cent."""
        return time.monotonic() - self._saved_at >= self._interval

    def save(self, step: int, tensors: Mapping[str, Tensor], notes: Any) -> None:
        """Save a run after `step`, then remove what was saved before.

        Raises:
            UserError: no space is left on the device; the previous save is untouched.
        """
        started = time.monotonic()
        temporary = self.folder / "unfinished.tmp"
        try:
            save_tensors(temporary, tensors, {"notes": canonical_json(notes)})
            before = self._files()
            final = self.folder / f"{step:012d}-{digest(temporary)}.safetensors"
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)
        for file in before:
            if file != final:
                file.unlink()
        self._saved_at = time.monotonic()
        self.seconds += self._saved_at - started
        cost = self._saved_at - started
        self._interval = max(LEAST_INTERVAL_SECONDS, cost / LARGEST_SHARE)

    def load(self) -> Saved | None:
        """The newest whole save, or None. Damaged ones are deleted."""
        for file in reversed(self._files()):
            if digest(file) == file.stem.partition("-")[2]:
                return Saved(load_tensors(file), _notes(file))
            print(f"{file} is damaged; going on without it", flush=True)
            file.unlink()
        return None

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))


def _notes(file: Path) -> Any:
    with safe_open(file, "pt") as content:
        return json.loads(json.loads(content.metadata()["fastpipe"])["notes"])


class Executed(NamedTuple):
    """How many steps a job took in all its attempts."""

    steps: int
    repeated: int
    """Steps taken again because an attempt ended after its last save."""
    starts: int
    """Attempts."""


class StepLog:
    """A file with a line for each step when it is taken; it survives a kill."""

    def __init__(self, path: Path):
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.write(self._file, b"start\n")

    def note(self, run: int | str, step: int) -> None:
        """Write down that `run` has taken `step` (0.9 µs)."""
        os.write(self._file, b"%s %d\n" % (str(run).encode(), step))

    def counts(self) -> Executed:
        """What all attempts so far have executed."""
        lines = self._path.read_bytes().split(b"\n")
        steps = [line for line in lines if line and line != b"start"]
        return Executed(len(steps), len(steps) - len(set(steps)), lines.count(b"start"))


class Watcher:
    """Is told what happens in a run. This one takes no notice; others override it."""

    def after_step(self, step: int) -> None:
        """`step` has been taken."""

    def is_waiting(self) -> bool:
        """Whether everything is to be written down after this step, validation or not."""
        return False

    def after_validation(self) -> None:
        """Everything is written down, at a scheduled validation's end or because this watcher
        waits for it: the moment to save."""


class Resumable(Protocol):
    """Training that can be saved."""

    @property
    def step(self) -> int:
        """The last step taken and written down."""

    def state(self) -> Saved:
        """All that the training is made of."""


class Saving(Watcher):
    """Saves a training from time to time and when told to stop, and logs each step.

    Args:
        training: what is saved.
        saver: where to.
        log: gets a line for each step.
        run: name of the training in the log.
        notes: more JSON values to save with it, asked for at each save.
        tell: called with the number of steps taken, now and then.
    """

    def __init__(
        self,
        training: Resumable,
        saver: Saver,
        log: StepLog,
        run: int | str,
        *,
        notes: Callable[[], Any] = lambda: None,
        tell: Callable[[int], None] = lambda step: None,
    ):
        self._training, self._saver, self._log, self._run = training, saver, log, run
        self._notes, self._tell = notes, tell

    def after_step(self, step: int) -> None:
        self._log.note(self._run, step)

    def is_waiting(self) -> bool:
        return told_to_stop()

    def after_validation(self) -> None:
        """Save if it is time to.

        Raises:
            Stopped: the process was told to stop; everything is saved.
        """
        self._tell(self._training.step)
        stops = told_to_stop()
        if stops or self._saver.due():
            tensors, notes = self._training.state()
            more = {"training": notes, "more": self._notes()}
            self._saver.save(self._training.step, tensors, more)
        if stops:
            raise Stopped(f" after step {self._training.step}")


def restored(saver: Saver) -> tuple[Saved, Any] | None:
    """What :class:`Saving` saved last, and the notes it asked for; None if there is nothing."""
    saved = saver.load()
    if saved is None:
        return None
    return Saved(saved.tensors, saved.notes["training"]), saved.notes["more"]


def optimiser_tensors(optimiser: Optimizer | None, network: nn.Module) -> dict[str, Tensor]:
    """The optimiser's state by names that say what it is: `body.0.weight/momentum_buffer`."""
    if optimiser is None:
        return {}
    return {
        f"{name}/{key}": value
        for name, parameter in network.named_parameters()
        for key, value in optimiser.state.get(parameter, {}).items()
        if value is not None
    }


def load_optimiser(
    optimiser: Optimizer | None, network: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Put back the state that :func:`optimiser_tensors` named, in each parameter's memory format.

    Raises:
        ValueError: a tensor belongs to no parameter.
    """
    parameters = dict(network.named_parameters())
    for full_name, value in tensors.items():
        name, _, key = full_name.rpartition("/")
        if name not in parameters or optimiser is None:
            raise ValueError(f"optimiser state {full_name!r} belongs to no parameter")
        parameter = parameters[name]
        if key == "step":  # torch keeps this count on the CPU, but for fused updates
            fused = optimiser.defaults.get("fused")
            placed = value.to(parameter.device if fused else "cpu")
        else:
            placed = torch.empty_like(parameter, requires_grad=False).copy_(value)
        optimiser.state[parameter][key] = placed


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under names that begin with `prefix`."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, under the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
