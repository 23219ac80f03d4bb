"""The log of a stage is worth having, not worth failing for."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

__all__ = ["log_may_fail"]


@contextlib.contextmanager
def log_may_fail() -> Iterator[None]:
    """If standard output cannot be written (a full disk, a reader that is gone), go on without."""
    with contextlib.redirect_stdout(_Log(sys.stdout)):
        yield


class _Log:
    """A stream whose lines are dropped from the first on that cannot be written."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        with contextlib.suppress(OSError):  # it may be the same full disk
            print(f"the log cannot be written: {error.strerror}; going on without", file=sys.stderr)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())  # what is in its buffer, too
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
