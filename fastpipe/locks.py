"""Who may write: locks that end with their holder, and that say who holds them.

A lock is the kernel's (`flock`), so it is free as soon as its holder is dead, however it died.
Beside it lies a note of who holds it, whose time is renewed while the holder lives (a heartbeat):
for people to read, and for file systems where a kernel knows nothing of another host's locks, or
has none. There another host's note counts as long as its heartbeat is fresh.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from fastpipe.crash import crash_point
from fastpipe.files import write_bytes

__all__ = ["FRESH_SECONDS", "HEAD", "Holder", "Lock", "holder_of", "note_of"]

HEAD = "head.lock"
"""Name of the lock of the snakemake process that works on the results."""

HEARTBEAT_SECONDS = 20.0
FRESH_SECONDS = 120.0
"""A note whose heartbeat is older than this is of a dead process."""

NOTE_SECONDS = 2.0
"""How long a lock may be held before a note says by whom; a mere look holds it for a moment."""

_UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


@dataclass(frozen=True)
class Holder:
    """A process that holds a lock."""

    pid: int
    host: str
    since: float
    """When it took it, in seconds since 1970."""
    what: str
    """What it is doing: `writing finetune in results/…`."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def told(self) -> str:
        """Who has been doing what since when, in local time; a sentence without its full stop."""
        if self == SOMEBODY:
            return "a process that left no note holds a lock"
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"{self} has been {self.what} since {began}"

    @property
    def is_here(self) -> bool:
        return self.host == socket.gethostname()

    def runs_here(self) -> bool:
        """Whether this host has a process with its number."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True


SOMEBODY = Holder(0, "an unknown host", 0.0, "something")


def holder_of(lock: Path) -> Holder | None:
    """Who the note beside a lock names, alive or not; None if there is no readable note."""
    try:
        return Holder(**json.loads(note_of(lock).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


class Lock:
    """A lock, not taken yet.

    Args:
        path: of the lock file, `….lock`; its folder is made. It stays when the lock is released.
        what: what will be done while it is held.
    """

    def __init__(self, path: Path, what: str):
        self.path, self.what = path, what
        self._file: int | None = None
        self._owner = 0
        self._ended = threading.Event()

    def acquire(self, *, sign: bool = True) -> Holder | None:
        """Take the lock if it is free: None. Otherwise nothing happens: who holds it.

        Args:
            sign: write the note; not where a lock is held for a moment, and a disk may be full.

        Raises:
            UserError: the note cannot be written; the lock is free.
        """
        taken = self._take()
        if isinstance(taken, Holder):
            return taken
        self._file, self._owner = taken, os.getpid()
        crash_point("lock-taken")
        if not sign:
            return None
        mine = Holder(os.getpid(), socket.gethostname(), time.time(), self.what)
        try:
            write_bytes(note_of(self.path), json.dumps(asdict(mine)).encode())
        except BaseException:
            self.release()
            raise
        threading.Thread(target=self._beat, daemon=True).start()
        return None

    def holder(self) -> Holder | None:
        """Who holds it now; None if it is free."""
        taken = self._take()
        if isinstance(taken, Holder):
            return taken
        os.close(taken)
        return None

    def _take(self) -> int | Holder:
        """The open and locked file, or who holds the lock."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + NOTE_SECONDS
        while (taken := self._try()) is None:
            if time.monotonic() > end:
                return SOMEBODY
            time.sleep(0.02)
        return taken

    def _try(self) -> int | Holder | None:
        """As `_take`; None if somebody holds it who is not named by the note, yet."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        kernel_knows = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            named = holder_of(self.path)
            alive = named and (named.runs_here() if named.is_here else self._is_fresh())
            return named if alive else None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                os.close(file)
                raise
            kernel_knows = False
        if other := self._other(kernel_knows):
            os.close(file)
            return other
        return file

    def release(self) -> None:
        """Let others have it."""
        if self._file is None or os.getpid() != self._owner:  # a forked child has a copy
            return
        self._ended.set()
        note_of(self.path).unlink(missing_ok=True)
        crash_point("lock-before-release")
        os.close(self._file)
        self._file = None

    def _other(self, kernel_knows: bool) -> Holder | None:
        """A living process that the note names, of which the kernel did not tell."""
        found = holder_of(self.path)
        if found is None:
            return None
        if found.is_here:
            return None if kernel_knows or not found.runs_here() else found
        return found if self._is_fresh() else None

    def _is_fresh(self) -> bool:
        """By the file server's clock, not by this host's."""
        try:
            with tempfile.NamedTemporaryFile(prefix=".now.", dir=self.path.parent) as now:
                age = os.fstat(now.fileno()).st_mtime - note_of(self.path).stat().st_mtime
        except FileNotFoundError:  # its holder has just released it
            return False
        return age < FRESH_SECONDS

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(note_of(self.path))


def note_of(lock: Path) -> Path:
    """The note beside a lock."""
    return lock.with_suffix(".json")
