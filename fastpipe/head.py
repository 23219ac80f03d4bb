"""The head: the one snakemake process that works on a folder of results.

Snakemake's own lock is checked and then written, so two heads that start together may both pass;
any head that ends deletes the locks of all; and after a kill it stays. This one is the kernel's.
"""

import atexit
import shlex
import sys

from fastpipe.config.names import WORK
from fastpipe.errors import UserError
from fastpipe.files import writing
from fastpipe.locks import HEAD, Lock

__all__ = ["Head"]


class Head:
    """This process's claim on the results of its working directory."""

    def __init__(self) -> None:
        self._lock: Lock | None = None

    def claim(self) -> None:
        """Be the only head, for as long as this process lives.

        Raises:
            UserError: another process is.
        """
        if self._lock is not None:
            return
        command = shlex.join(["snakemake", *sys.argv[1:]])
        lock = Lock(WORK / "locks" / HEAD, f"running {command} on these results")
        with writing(lock.path):
            who = lock.acquire()
        if who:
            raise UserError(
                f"{who.told}. Wait until it has ended, or end it; then run snakemake again. "
                "Nothing was changed. `fastpipe unlock` tells who holds what."
            )
        self._lock = lock
        atexit.register(lock.release)
