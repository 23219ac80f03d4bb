"""Killed halfway, started twice: the results are those of an undisturbed run."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow

SLOW = {
    "sources": {
        "slow": {
            "dataset": "own",
            "backbone": {"name": "small-cnn", "widths": [4, 8]},
            **{"epochs": 250, "snapshots": [0, 250], "batch_size": 20},
        }
    },
    "recipes": {"slow": {"steps": 3000, "batch_size": 20}},
}
"""About five seconds of pretraining, and as many of fine-tuning for each seed."""
PRETRAINED = "results/sources/slow/epoch-250/pretrain.json"
FINETUNED = "results/runs/net@1/pictures/slow/seeds-0-1/finetune.json"


@pytest.fixture(scope="module")
def undisturbed(built, tmp_path_factory) -> dict[str, bytes]:
    """The slow results, made in one go."""
    site = built.copy(tmp_path_factory.mktemp("undisturbed") / "am Stück")
    site.configure(SLOW)
    site.run(PRETRAINED, FINETUNED)
    return slow_results(site)


def slow_results(site) -> dict[str, bytes]:
    return site.bytes("sources/slow") | site.bytes("runs/net@1/pictures/slow")


@pytest.fixture
def slow(site):
    """A site that can make the slow results."""
    site.configure(SLOW)
    return site


class Attempt:
    """A run of snakemake in a process group of its own, seen through its work folder."""

    def __init__(self, site, target: str):
        self.process = subprocess.Popen(
            site.command(target),
            cwd=site.folder,
            env=site.environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.work = site.path(".work")

    def kill_after(self, steps: int) -> int:
        """SIGKILL the whole group after so many steps; returns how many steps were not saved."""
        while self._logged() < steps or self._unsaved() < 1:
            assert self.process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        wait_for_end_of_group(self.process.pid)
        return self._unsaved()

    def _lines(self) -> list[list[str]]:
        logs = self.work.glob("*/steps.log")
        return [line.split() for log in logs for line in log.read_text().splitlines()]

    def _logged(self) -> int:
        return len([line for line in self._lines() if line != ["start"]])

    def _unsaved(self) -> int:
        """Steps after the last save; below 0 if there is none."""
        saves = [int(f.name.split("-")[0]) for f in self.work.glob("*/*/0*.safetensors")]
        steps = [line for line in self._lines() if line != ["start"]]
        return int(steps[-1][1]) - saves[-1] if len(saves) == 1 and steps else -1


def wait_for_end_of_group(group: int) -> None:
    """Until no process of the group is left; zombies count as gone."""
    for _ in range(500):
        states = [_state(Path(entry)) for entry in Path("/proc").glob("[0-9]*")]
        if not any(state for state, member in states if member == group and state != "Z"):
            return
        time.sleep(0.01)
    raise TimeoutError(f"process group {group} is still there")


def _state(process: Path) -> tuple[str, int]:
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0
    return fields[0], int(fields[2])


@pytest.mark.parametrize(
    ("target", "steps", "total"), [(PRETRAINED, 1500, 3000), (FINETUNED, 4200, 6000)]
)
def test_killed_after_half(slow, undisturbed, target, steps, total):
    attempt = Attempt(slow, target)
    unsaved = attempt.kill_after(steps)
    assert not (slow.folder / target).exists()
    assert "--unlock" in slow.fail(target)
    assert slow.snakemake("--unlock").returncode == 0
    slow.run(target)
    made = slow_results(slow)
    assert made and made == {name: undisturbed[name] for name in made}
    timing = json.loads((slow.folder / target.replace(".json", ".timing.json")).read_text())
    assert timing["starts"] == 2
    assert timing["repeated_steps"] == unsaved
    assert timing["executed_steps"] == total + unsaved
    assert unsaved < steps
    assert list(attempt.work.glob("*/steps.log")) == []


def finetune_command(site, record: str) -> list[str]:
    """The arguments with which snakemake would call `fastpipe` to make a record."""
    output = site.snakemake("--dry-run", "--printshellcmds", record).stdout
    (line,) = [text for text in output.splitlines() if "fastpipe finetune" in text]
    return shlex.split(line.removeprefix("Shell command: ").partition(" > ")[0])[1:]


def test_two_writers_do_not_mix(slow, undisturbed):
    arguments = finetune_command(slow, FINETUNED)
    both = [slow.start(*arguments) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    (waiting,) = [output for output in outputs if "waiting for process" in output]
    assert "which is writing finetune in results/runs/net@1/pictures/slow/seeds-0-1" in waiting
    assert str(both[outputs.index(waiting) - 1].pid) in waiting
    made = slow.bytes("runs/net@1/pictures/slow")
    assert made and made == {name: undisturbed[name] for name in made}


def test_training_cannot_see_test_images(site):
    before = site.bytes("runs")
    site.pack("quick", "finetune.json").unlink()
    arguments = finetune_command(site, "results/runs/net@1/pictures/quick/seeds-0-1/finetune.json")
    for file in [*site.path("datasets").glob("*/*test*"), *site.path("datasets").glob("*/card*")]:
        file.unlink()
    shutil.rmtree(site.pack("quick"))
    process = site.start(*arguments)
    assert process.communicate()[0] is not None and process.returncode == 0
    after = site.bytes("runs")
    assert {name: before[name] for name in after} == after
    assert "runs/net@1/pictures/quick/seeds-0-1/finetune.json" in after
