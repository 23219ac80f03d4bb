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

    def wait_for_steps(self, steps: int, unsaved: int = 0) -> None:
        """Until so many steps have been taken, and so many after the last save."""
        while self._logged() < steps or (unsaved and self._unsaved() < unsaved):
            assert self.process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)

    def kill_after(self, steps: int) -> int:
        """SIGKILL the whole group after so many steps; returns how many steps were not saved."""
        self.wait_for_steps(steps, unsaved=1)
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


@pytest.mark.fault(1)
@pytest.mark.parametrize(
    ("target", "steps", "total"), [(PRETRAINED, 1500, 3000), (FINETUNED, 4200, 6000)]
)
def test_killed_after_half(slow, undisturbed, target, steps, total):
    attempt = Attempt(slow, target)
    unsaved = attempt.kill_after(steps)
    assert not (slow.folder / target).exists()
    slow.run(target)  # there is nothing to unlock
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


@pytest.mark.fault(4)
def test_an_orphan_and_a_new_head(slow, undisturbed, tally):
    """The head is killed, not its job; the user starts again at once."""
    for _ in range(tally.times(1, 20)):
        attempt = Attempt(slow, FINETUNED)
        attempt.wait_for_steps(tally.random.randrange(200, 3000))
        os.kill(attempt.process.pid, signal.SIGKILL)
        attempt.process.wait()
        held = holders(slow)
        ((orphan, host),) = [(h["pid"], h["host"]) for h in held if "writing finetune" in h["what"]]
        os.kill(orphan, signal.SIGSTOP)  # else it may have ended before the new job comes
        head = start_head(slow, FINETUNED)
        waits = f"waiting: process {orphan} on {host} has been writing finetune in"
        log = slow.path("logs/runs/net@1/pictures/slow/seeds-0-1/finetune.log")
        wait_for_text(log, waits)
        os.kill(orphan, signal.SIGCONT)
        said = head.communicate()[0]
        assert head.returncode == 0, said
        assert "nothing is left to do" in log.read_text(errors="replace")
        wait_for_end_of_group(attempt.process.pid)
        made = slow_results(slow)
        assert made and made == {name: undisturbed[name] for name in made}
        tally.add("orphans")
        tally.add("mixed", 0)
        shutil.rmtree(slow.pack("slow"))


def wait_for_text(file: Path, text: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not file.exists() or text not in file.read_text(errors="replace"):
        assert time.monotonic() < end, f"{file} does not say {text!r}"
        time.sleep(0.05)


def holders(site) -> list[dict]:
    """What the notes beside the locks say."""
    return [json.loads(note.read_text()) for note in site.path(".work/locks").glob("*.json")]


@pytest.mark.fault(7)
def test_a_preempted_snakemake_goes_on_from_the_very_step(slow, undisturbed):
    """As when a machine is taken away: SIGTERM to all, SIGKILL some seconds later."""
    attempt = Attempt(slow, FINETUNED)
    attempt.wait_for_steps(2000)
    os.killpg(attempt.process.pid, signal.SIGTERM)
    log = slow.path("logs/runs/net@1/pictures/slow/seeds-0-1/finetune.log")
    for _ in range(1000):
        if "run it again to go on" in log.read_text():
            break
        time.sleep(0.01)
    os.killpg(attempt.process.pid, signal.SIGKILL)
    attempt.process.wait()
    wait_for_end_of_group(attempt.process.pid)
    slow.run(FINETUNED)
    timing = json.loads(slow.pack("slow", "finetune.timing.json").read_text())
    assert (timing["executed_steps"], timing["repeated_steps"]) == (6000, 0)
    made = slow_results(slow)
    assert made and made == {name: undisturbed[name] for name in made}


@pytest.mark.fault(5)
def test_two_heads_started_together(slow, undisturbed, tally):
    """One works, the other says so."""
    for _ in range(tally.times(1, 50)):
        shutil.rmtree(slow.path("sources/slow"), ignore_errors=True)
        both = [start_head(slow, PRETRAINED) for _ in range(2)]
        said = [process.communicate()[0] for process in both]
        codes = [process.returncode for process in both]
        assert sorted(codes) in ([0, 1], [0, 0]), said
        if 1 in codes:
            worker, refused = both[codes.index(0)], said[codes.index(1)]
            assert f"process {worker.pid} on " in refused and "Nothing was changed" in refused
            tally.add("refused")
        else:  # the second came when the first had ended: it found nothing to be done
            assert [text for text in said if "Nothing to be done" in text], said
        made = slow.bytes("sources/slow")
        assert made and made == {name: undisturbed[name] for name in made}
        tally.add("double starts")
        tally.add("mixed", 0)


def start_head(site, target) -> subprocess.Popen:
    return subprocess.Popen(
        site.command(target),
        cwd=site.folder,
        env=site.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.fault(6)
def test_two_writers_do_not_mix(slow, undisturbed):
    arguments = finetune_command(slow, FINETUNED)
    both = [slow.start(*arguments) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    (waiting,) = [output for output in outputs if "waiting: process" in output]
    assert "has been writing finetune in results/runs/net@1/pictures/slow/seeds-0-1" in waiting
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
