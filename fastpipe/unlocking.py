"""Explain who holds the locks of a folder of results, and clear up after the dead."""

import shutil
import time
from pathlib import Path

from fastpipe.config.names import WORK
from fastpipe.errors import UserError
from fastpipe.files import writing
from fastpipe.locks import FRESH_SECONDS, Holder, Lock, holder_of, note_of

__all__ = ["unlock"]

SNAKEMAKE = Path(".snakemake") / "locks"


def unlock(folder: Path) -> None:
    """Print who holds what below a working directory; if nobody lives, remove what was left.

    A lock of a dead process is free by itself. What is left is its note, which concerns other
    hosts for two minutes, and Snakemake's own locks, if it ran without this project's profile.

    Args:
        folder: the working directory.

    Raises:
        UserError: a holder lives. Nothing has been removed.
    """
    locks = sorted((folder / WORK / "locks").glob("*.lock"))
    with writing(folder / WORK / "locks"):
        held = [holder for lock in locks if (holder := Lock(lock, "").holder())]
    left = [note_of(lock) for lock in locks if note_of(lock).exists()]
    left += [lock for lock in [folder / SNAKEMAKE] if lock.is_dir() and any(lock.iterdir())]
    if held:
        raise UserError("\n".join([*(f"{holder.told}." for holder in held), _advice(held)]))
    for path in left:
        print(f"removed {path}, left by {_owner(path)}")
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if not left:
        print("Nothing is locked here.")


def _advice(held: list[Holder]) -> str:
    here = [str(holder.pid) for holder in held if holder.is_here]
    ways = [f"`kill {' '.join(here)}` ends it in order"] if here else []
    if any(holder.pid and not holder.is_here for holder in held):
        ways.append(
            f"one on another host counts as alive until {FRESH_SECONDS:.0f} s after its last sign"
        )
    return "; ".join(["Nothing was removed. Wait until the work has ended", *ways]) + "."


def _owner(path: Path) -> str:
    if path.is_dir():
        return "a snakemake process that has ended"
    holder = holder_of(path.with_suffix(".lock"))
    seen = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(path.stat().st_mtime))
    who = f"{holder} that was {holder.what}" if holder else "a process"
    return f"{who}; last sign of life {seen}"
