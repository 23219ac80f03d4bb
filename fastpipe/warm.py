"""Warm starts: one process has torch imported already, and forks a child for each job.

Imports take 4 s of every job that trains, nearly all of a short one. Where Snakemake runs jobs on
its own machine, the Snakefile starts one warm process (:class:`Warm`); `fastpipe STAGE …` then
hands its arguments, working directory, environment and standard streams to it, and ends as the
child ends (:func:`run_warm`). Without a warm process, on a cluster's node for instance, it does the
work itself. A child is forked from the imports alone: it shares no state with other jobs, and
nothing that a stage computes or writes depends on how it was started.

    snakemake ── starts ──▶ warm process ── forks ──▶ child: the stage
        └─ fastpipe STAGE … ─── socket ──┘                │
                 ▲───────── process id, exit code ────────┘

Hardly more than the standard library is imported here, so that handing over costs little.
"""

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from fastpipe.stopping import SIGNALS, heed_signals

__all__ = ["Warm", "run_warm"]

ADDRESS = "FASTPIPE_WARM"
"""Environment variable that tells jobs the warm process's socket; `off` for snakemake: no warm
process, every job starts cold."""

STAGES = ("pretrain", "features", "finetune", "deploy", "forgetting")
"""Those that import torch."""

_LENGTH = struct.Struct("!I")
_POLL_S = 0.5
_PATIENCE_S = 2.0
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_HEEDED = (*SIGNALS, signal.SIGINT)


class Warm:
    """A warm process for as long as this process lives; jobs find it through the environment.

    Raises:
        OSError: it cannot be started. Jobs then start cold, which is only slower.
    """

    def __init__(self, log: Path):
        log.parent.mkdir(parents=True, exist_ok=True)
        # In /tmp whatever TMPDIR says: the path of a socket has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="fastpipe-", dir="/tmp"))  # for this user alone
        with socket.socket(socket.AF_UNIX) as listener, log.open("wb") as errors:
            listener.bind(str(self.folder / "socket"))
            listener.listen(64)  # jobs may ask before it is up
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fastpipe.warm", str(listener.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[listener.fileno()],
            )
        os.environ[ADDRESS] = str(self.folder / "socket")

    def close(self) -> None:
        """End the warm process; a child that still works is not disturbed."""
        os.environ.pop(ADDRESS, None)
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


# --- the side of a job ----------------------------------------------------------------------------


def run_warm(arguments: list[str]) -> int | None:
    """Let the warm process run `fastpipe` with these arguments.

    Returns:
        The exit code (128 + n if signal n ended it), or None if there is no warm process, or the
        subcommand has no use for one; nothing has been done then.
    """
    address = os.environ.get(ADDRESS)
    if not address or not arguments or arguments[0] not in STAGES:
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
            _send(connection, arguments)
            reply = connection.makefile()
            child = reply.readline()
        except OSError:
            return None
        if not child:
            return None  # it ended before it had forked
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda number, _: _pass_on(int(child), number))
        code = _read_code(reply)
    if code is None:
        print("error: the warm process ended. Run snakemake again.", file=sys.stderr)
        return 1
    return code


def _send(connection: socket.socket, arguments: list[str]) -> None:
    request = json.dumps([arguments, str(Path.cwd()), dict(os.environ)]).encode()
    socket.send_fds(connection, [_LENGTH.pack(len(request))], [0, 1, 2])
    connection.sendall(request)


def _pass_on(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def _read_code(reply) -> int | None:
    while True:
        try:
            line = reply.readline()
        except KeyboardInterrupt:  # the child, in the same foreground group, has it too
            continue
        except OSError:
            return None
        return int(line) if line else None


# --- the warm process -----------------------------------------------------------------------------


class _Server:
    """Accepts jobs, forks, tells each job how its child ended."""

    def __init__(self, listener: socket.socket):
        self.listener = listener
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ, self._accept)
        self.children: dict[int, socket.socket] = {}
        """Process file descriptor of each child → the job's connection."""
        self.parent = os.getppid()
        self.ending = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the foreground group: for the children
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        self.ending = True

    def serve(self) -> None:
        """Until told to end, or the parent is gone; and no child is left."""
        while self.children or not (self.ending or os.getppid() != self.parent):
            for key, _ in self.selector.select(_POLL_S):
                key.data()

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.settimeout(_PATIENCE_S)  # a job that says nothing must not hold up the others
        request = _receive(connection)
        if request is None:
            connection.close()
            return
        streams, job = request
        _import_stages()
        # A signal that comes at once waits until the child has handlers of its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)
        child = os.fork()
        if child == 0:
            self._let_go_of_others(connection)
            _become(streams, *job)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEEDED)
        for stream in streams:
            os.close(stream)
        descriptor = os.pidfd_open(child)
        self.children[descriptor] = connection
        self.selector.register(
            descriptor, selectors.EVENT_READ, lambda: self._reap(descriptor, child)
        )
        self.selector.register(
            connection, selectors.EVENT_READ, lambda: self._abandon(descriptor, connection)
        )
        with contextlib.suppress(OSError):
            connection.sendall(f"{child}\n".encode())

    def _let_go_of_others(self, own: socket.socket) -> None:
        """In a child: nothing stays open that would keep other jobs waiting, were the warm
        process to die; and when it does die, so does the child, as nobody waits for it then."""
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for descriptor, connection in self.children.items():
            os.close(descriptor)
            connection.close()
        for other in (self.selector, self.listener, own):
            other.close()

    def _reap(self, descriptor: int, child: int) -> None:
        connection = self.children.pop(descriptor)
        self.selector.unregister(descriptor)
        os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if connection.fileno() >= 0:
            self.selector.unregister(connection)
            with contextlib.suppress(OSError):
                connection.sendall(f"{code if code >= 0 else 128 - code}\n".encode())
            connection.close()

    def _abandon(self, descriptor: int, connection: socket.socket) -> None:
        """A job that is gone was killed: its child is, too, unless it has ended by itself."""
        if descriptor in self.children:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            self.selector.unregister(connection)
            connection.close()


def _receive(connection: socket.socket) -> tuple[list[int], list] | None:
    """The job's standard streams, and its arguments, working directory and environment."""
    try:
        head, streams, *_ = socket.recv_fds(connection, _LENGTH.size, 3)
        with connection.makefile("rb") as file:
            return streams, json.loads(file.read(_LENGTH.unpack(head)[0]))
    except (OSError, ValueError, struct.error):
        return None


def _become(streams: list[int], arguments: list[str], folder: str, environment: dict) -> None:
    """In a child: do what `fastpipe` with these arguments does, and end."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        heed_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEEDED)
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["fastpipe", *arguments]
        from fastpipe.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _import_stages() -> None:
    """What a child would import, now or later: when the first job asks, since there may be none."""

    import pyarrow.dataset  # noqa: F401 (with pandas, if there is one; reading and writing do)
    import torch._dynamo  # noqa: F401 (every optimiser that is made imports it, in 1.3 s)

    import fastpipe.cli
    import fastpipe.stages.deploy
    import fastpipe.stages.features
    import fastpipe.stages.finetune
    import fastpipe.stages.forgetting
    import fastpipe.stages.pretrain  # noqa: F401


def _serve(descriptor: int) -> None:
    listener = socket.socket(fileno=descriptor)
    folder = Path(listener.getsockname()).parent
    try:
        _Server(listener).serve()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
