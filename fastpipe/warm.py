"""Warm starts: one process has torch imported already, and forks a child for each job.

Importing torch takes 1.5 s of every job, a third of a short one. Where Snakemake runs jobs on its
own machine, the Snakefile starts one warm process (:class:`Warm`); `fastpipe STAGE …` then hands
its arguments, working directory, environment and standard streams to it, and ends as the child
ends (:func:`run_warm`). Without a warm process, on a cluster's node for instance, it does the work
itself. A child is forked from the imports alone: it shares no state with other jobs, and nothing
that a stage computes or writes depends on how it was started.

    snakemake ── starts ──▶ warm process ── forks ──▶ child: the stage
        └─ fastpipe STAGE … ─── socket ──┘                │
                 ▲───────── process id, exit code ────────┘

Only the standard library is imported here, so that handing over costs little.
"""

import contextlib
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

__all__ = ["Warm", "run_warm"]

ADDRESS = "FASTPIPE_WARM"
"""Environment variable that tells jobs the warm process's socket."""

STAGES = ("pretrain", "features", "finetune", "deploy", "forgetting")
"""Those that import torch."""

_LENGTH = struct.Struct("!I")
_POLL_S = 0.5


class Warm:
    """A warm process for as long as this process lives; jobs find it through the environment."""

    def __init__(self, log: Path):
        log.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="fastpipe-"))  # readable by this user alone
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
        except OSError:
            return None
        reply = connection.makefile()
        child = reply.readline()
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
        return int(line) if line else None


# --- the warm process -----------------------------------------------------------------------------


class _Server:
    """Accepts jobs, forks, tells each job how its child ended."""

    def __init__(self, listener: socket.socket):
        self.listener = listener
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ)
        self.children: dict[int, tuple[int, socket.socket]] = {}
        """Process file descriptor → process id and the job's connection."""
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
                if key.fileobj is self.listener:
                    self._accept()
                elif key.data is None:
                    self._reap(key.fd)
                else:
                    self._abandon(key.data)

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        request = _receive(connection)
        if request is None:
            connection.close()
            return
        streams, job = request
        _import_stages()
        child = os.fork()
        if child == 0:
            _become(streams, *job)
        for stream in streams:
            os.close(stream)
        connection.sendall(f"{child}\n".encode())
        descriptor = os.pidfd_open(child)
        self.children[descriptor] = child, connection
        self.selector.register(descriptor, selectors.EVENT_READ)
        self.selector.register(connection, selectors.EVENT_READ, data=child)

    def _reap(self, descriptor: int) -> None:
        child, connection = self.children.pop(descriptor)
        self.selector.unregister(descriptor)
        os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if connection.fileno() >= 0:
            self.selector.unregister(connection)
            with contextlib.suppress(OSError):
                connection.sendall(f"{code if code >= 0 else 128 - code}\n".encode())
            connection.close()

    def _abandon(self, child: int) -> None:
        """A job that is gone was killed: its child is, too."""
        os.kill(child, signal.SIGKILL)
        (connection,) = (theirs for pid, theirs in self.children.values() if pid == child)
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
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
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
    """What a child would import: when the first job asks, since there may be none."""
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
