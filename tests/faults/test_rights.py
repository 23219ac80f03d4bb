"""Files that may not be read, folders that may not be written, and a umask that shuts out others.

As root everything is allowed, so commands are run by another user.
"""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.fault(14)

NOBODY = 65534


class Restricted:
    """The tiny study in a folder that everyone can reach, and commands run there by nobody."""

    def __init__(self, folder: Path, whole: Any, server: Any):
        self.folder, self.whole, self.server = folder, whole, server
        self.job = whole.job

    def fastpipe(self, *arguments: str, umask: str = "022") -> Any:
        """Run a command in a child that has given up being root; the attempt."""
        environment = {"COMMAND": json.dumps(arguments), "RUN_AS": str(NOBODY)}
        environment["HOME"] = str(self.folder)
        (self.folder / "chain.log").unlink(missing_ok=True)
        return self.server.run(self.folder, [], RUN_UMASK=umask, **environment)

    def own(self, path: Path) -> None:
        """Give nobody everything below a path."""
        if os.getuid() == 0:
            for each in (path, *path.rglob("*")):
                os.chown(each, NOBODY, NOBODY)

    def arguments(self, stage: str) -> Sequence[str]:
        return self.whole.chain.arguments(self.job(stage))

    def without_record(self, stage: str) -> Sequence[str]:
        """What makes a stage's result again, after its record is gone."""
        (self.folder / self.job(stage).record).unlink()
        return self.arguments(stage)


@pytest.fixture(scope="module")
def nobody(disk_server) -> Iterator[Any]:
    server = disk_server()
    yield server
    server.close()


@pytest.fixture
def restricted(whole, nobody) -> Iterator[Restricted]:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copytree(whole.folder, folder / "study", ignore=shutil.ignore_patterns("chain.log"))
    (folder / "study").chmod(0o755)
    yield Restricted(folder / "study", whole, nobody)
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def readable_code(whole) -> None:
    """Plans need the code itself, to know whether results are of another."""
    closed = [f for f in whole.chain.HOME.parents if not f.stat().st_mode & 0o001]
    if closed and os.getuid() == 0:
        pytest.skip(f"another user may not read the code, which lies in {closed[0]}")


def refusal(attempt: Any) -> str:
    """The only message; no traceback."""
    assert attempt.code == 1, attempt.said
    assert "Traceback" not in attempt.said
    return next(line for line in attempt.said.splitlines() if line.startswith("error: "))


def test_an_unreadable_input(restricted):
    restricted.own(restricted.folder / "results")
    arguments = restricted.without_record("scores")
    features = restricted.job("scores").reads[0].with_name("images.safetensors")
    (restricted.folder / features).chmod(0)
    said = refusal(restricted.fastpipe(*arguments))
    assert f"{features} cannot be read: Permission denied." in said


def test_an_unreadable_record(restricted):
    restricted.own(restricted.folder / "results")
    arguments = restricted.without_record("scores")
    record = restricted.job("scores").reads[0]
    (restricted.folder / record).chmod(0)
    attempt = restricted.fastpipe(*arguments)
    said = " ".join(attempt.said.replace("│", " ").split())
    assert attempt.code == 2 and "Traceback" not in said
    assert f"Invalid value for '--features': path '{record}' is not readable." in said


def test_an_unreadable_folder(restricted, readable_code):
    restricted.own(restricted.folder / "results")
    (restricted.folder / "results" / "similarity").chmod(0)
    said = refusal(restricted.fastpipe("verify"))
    assert "results/similarity" in said and "Permission denied" in said


@pytest.mark.parametrize("own", ["", "results/.work"])
def test_a_read_only_folder(restricted, own):
    job = restricted.job("scores")
    arguments = restricted.without_record("scores")
    if own:
        restricted.own(restricted.folder / own)
    if os.getuid():
        for folder in (restricted.folder / "results", restricted.folder / job.folder):
            folder.chmod(0o555)
    before = restricted.whole.made().keys()
    said = refusal(restricted.fastpipe(*arguments))
    assert "cannot " in said and "Permission denied" in said and "results/" in said
    assert "Get the right to write there and run snakemake again." in said
    left = {str(p.relative_to(restricted.folder / "results")) for p in files(restricted)}
    assert left >= before - {str(job.record.relative_to("results"))}


def files(restricted: Restricted) -> list[Path]:
    return [p for p in (restricted.folder / "results").rglob("*") if p.is_file()]


def test_whoever_may_only_read_can_verify(restricted, readable_code):
    done = restricted.fastpipe("verify", "tiny")
    assert done.code == 0, done.said
    assert "Results damaged: 0," in done.said
    features = restricted.job("scores").reads[0].with_name("images.safetensors")
    (restricted.folder / features).chmod(0)
    done = restricted.fastpipe("verify", "tiny")
    assert done.code == 1
    assert f"{features} cannot be read: Permission denied." in done.said
    record = features.with_name("features.json")
    assert f"rm {record} && snakemake " in done.said


def test_the_group_can_read_what_is_written_under_umask_027(restricted):
    shutil.rmtree(restricted.folder / "results" / "similarity")
    restricted.own(restricted.folder / "results")
    for stage in ("similarity", "scores"):
        done = restricted.fastpipe(*restricted.arguments(stage), umask="027")
        assert done.code == 0, done.said
    made = [*(restricted.folder / "results" / "similarity").rglob("*")]
    modes = {stat.S_IMODE(p.stat().st_mode) for p in made if p.is_file()}
    folders = {stat.S_IMODE(p.stat().st_mode) for p in made if p.is_dir()}
    assert (modes, folders) == ({0o640}, {0o750})
