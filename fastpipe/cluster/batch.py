"""A batch: shell commands that one cluster job runs one after the other.

Two files tell its story, both in `results/.work/batches/`: `NAME.json`, written once before the
batch is submitted, and `NAME.done`, to which the node adds a line for each member that has ended.
Without its `.json` a batch is withdrawn: the node starts no further member.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from fastpipe.files import write_bytes

__all__ = ["Batch", "Member", "ended", "ends_file", "note_end", "remove"]


@dataclass(frozen=True)
class Member:
    """A job of a batch.

    Attributes:
        command: for bash.
        threads: for the numerical libraries.
        inputs: files to be waited for, should another node have just written them.
        benchmark: file for seconds, as Snakemake's `benchmark:` writes it; "" for none.
    """

    command: str
    threads: int = 1
    inputs: tuple[str, ...] = ()
    benchmark: str = ""


@dataclass(frozen=True)
class Batch:
    """What a node is to do.

    Attributes:
        folder: working directory.
        run: SLURM's name for the jobs of one snakemake process.
        patience_s: how long to wait for inputs.
    """

    folder: str
    run: str
    patience_s: float
    members: tuple[Member, ...]

    def write(self, path: Path) -> None:
        """Also makes the empty `.done`, so that a node never creates a file that is looked for."""
        path.parent.mkdir(parents=True, exist_ok=True)
        ends_file(path).touch()
        write_bytes(path, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        content = json.loads(path.read_bytes())
        members = (Member(**m | {"inputs": tuple(m["inputs"])}) for m in content.pop("members"))
        return cls(**content, members=tuple(members))


def ends_file(path: Path) -> Path:
    return path.with_suffix(".done")


def note_end(path: Path, member: int, code: int) -> None:
    """Add that a member has ended with an exit code. The file is closed then: that is when other
    nodes see it on a network file system."""
    with ends_file(path).open("ab", buffering=0) as file:
        file.write(f"{member} {code}\n".encode())
        os.fsync(file.fileno())


def ended(path: Path) -> dict[int, int]:
    """Exit code of each member that has ended; a line half written does not count."""
    try:
        lines = ends_file(path).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return {}
    return {int(member): int(code) for member, code in (line.split() for line in lines)}


def remove(path: Path) -> None:
    for file in (path, ends_file(path), path.with_suffix(".log")):
        file.unlink(missing_ok=True)
