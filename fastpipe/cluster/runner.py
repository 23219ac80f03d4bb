"""On a node: run the members of a batch, one after the other.

    python -m fastpipe.cluster.runner BATCH.json

Torch is imported once, by a warm process that forks a child for each member. A member that fails
does not stop the others. SIGTERM (the job is preempted or cancelled) and SIGUSR1 (its time is
nearly up) are passed on to the member at work, which saves its state; no other is started. After
SIGUSR1 the job asks SLURM to be put back into the queue, and goes on there.
Members that have ended before, in an earlier start of the same job, are not repeated.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fastpipe.cluster.batch import Batch, Member, ended, note_end
from fastpipe.warm import Warm

__all__ = ["main"]

STOPPED = 128 + signal.SIGTERM
MOST_STARTS = 50
"""A job that still asks for more time after so many starts makes no progress."""

# bash must outlive a signal meant for the stage, whose exit code it hands on.
_PRELUDE = "trap : TERM USR1; set -euo pipefail; "
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


class _Signals:
    """Hands SIGTERM and SIGUSR1 on to the member at work, and remembers."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._member: subprocess.Popen | None = None
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._receive)

    def _receive(self, number: int, _: object) -> None:
        self.received = number
        self._pass_on()

    def _pass_on(self) -> None:
        if self._member and self._member.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._member.pid, signal.SIGTERM)

    def wait(self, member: subprocess.Popen) -> int:
        """Exit code of a member; 128 + n if signal n ended it."""
        self._member = member
        if self.received:  # while it was being started
            self._pass_on()
        code = member.wait()
        self._member = None
        return code if code >= 0 else 128 - code


def main(path: Path) -> int:
    """Run a batch.

    Returns:
        0, 1 if a member failed, or 143 if a signal came before all members had ended.
    """
    signals = _Signals()
    batch = Batch.read(path)
    os.chdir(batch.folder)
    before = ended(path)
    todo = {n: member for n, member in enumerate(batch.members) if n not in before}
    codes = list(before.values())
    with _warm_start(path.with_suffix(".log"), len(todo)):
        for number, member in todo.items():
            if signals.received or not path.exists():
                break
            code = _run(member, batch.patience_s, signals)
            if code and signals.received:
                break  # its state is saved
            note_end(path, number, code)
            codes.append(code)
    if len(codes) < len(batch.members) and signals.received:
        if signals.received == signal.SIGUSR1:
            _ask_for_more_time()
        return STOPPED
    return int(any(codes))


@contextlib.contextmanager
def _warm_start(log: Path, members: int):
    process = None
    if members > 1:  # a single one imports torch itself
        with contextlib.suppress(OSError):
            process = Warm(log)
    try:
        yield
    finally:
        if process:
            process.close()


def _run(member: Member, patience_s: float, signals: _Signals) -> int:
    _wait_for(member.inputs, patience_s, signals)
    started = time.time()
    threads = dict.fromkeys(_THREADS, str(member.threads))
    process = subprocess.Popen(
        ["/bin/bash", "-c", _PRELUDE + member.command],
        env=os.environ | threads,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # so that signals reach it as a whole
    )
    code = signals.wait(process)
    if member.benchmark and code == 0:
        _write_benchmark(Path(member.benchmark), time.time() - started)
    return code


def _wait_for(inputs: tuple[str, ...], patience_s: float, signals: _Signals) -> None:
    """Give a network file system time; a stage itself says what is missing."""
    end = time.time() + patience_s
    missing = [path for path in inputs if not Path(path).exists()]
    while missing and time.time() < end and not signals.received:
        time.sleep(0.5)
        missing = [path for path in missing if not Path(path).exists()]


def _write_benchmark(path: Path, seconds: float) -> None:
    minutes, rest = divmod(int(seconds), 60)
    clock = f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
    path.write_text(f"s\th:m:s\n{seconds:.2f}\t{clock}\n")


def _ask_for_more_time() -> None:
    """Back into the queue, unless SLURM or the site's rules refuse: Snakemake then retries."""
    job = os.environ.get("SLURM_JOB_ID")
    if job and int(os.environ.get("SLURM_RESTART_COUNT", "0")) < MOST_STARTS:
        print(f"the time is nearly up: job {job} goes back into the queue", flush=True)
        with contextlib.suppress(OSError):
            subprocess.run(["scontrol", "requeue", job], check=False)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
