"""SIGKILL of the whole group at a random time, again during recovery: as if nothing had been."""

import signal
import time

import pytest

pytestmark = pytest.mark.fault(1)


@pytest.fixture
def empty(whole, tmp_path):
    """Factory: the tiny study with some stages still to do."""
    count = iter(range(10**6))

    def make(*stages):
        site = whole.copy(tmp_path / str(next(count)))
        return site.without(*(job for job in site.jobs if job.stage in stages))

    return make


def kill_after(attempt, seconds) -> bool:
    """Whether it was killed, and had not ended before."""
    time.sleep(seconds)
    return attempt.kill() == -signal.SIGKILL


GROUPS = {
    "training": ("pretrain", "finetune"),
    "evaluation": ("prepare", "features", "similarity", "scores", "deploy", "forgetting"),
    "summary": ("collect", "report"),
}


@pytest.fixture(scope="module")
def lengths(whole, tmp_path_factory):
    """Seconds that an undisturbed run of each group takes here."""

    def seconds(stages):
        site = whole.copy(tmp_path_factory.mktemp("timed") / "site")
        site.without(*(job for job in site.jobs if job.stage in stages))
        started = time.monotonic()
        assert site.run().code == 0
        return time.monotonic() - started

    return {group: seconds(stages) for group, stages in GROUPS.items()}


@pytest.mark.fault(3)
@pytest.mark.parametrize(
    ("group", "sample", "whole_count"),
    [("training", 9, 100), ("evaluation", 7, 60), ("summary", 2, 20)],
)
def test_killed_at_random_times(empty, whole, lengths, tally, group, sample, whole_count):
    """Every second one is killed twice, the second time while it recovers."""
    kills = 0
    while kills < tally.times(sample, whole_count):
        site = empty(*GROUPS[group])
        for _ in range(1 + kills % 2):
            attempt = site.start()
            if kill_after(attempt, tally.random.uniform(0, lengths[group])):
                kills += 1
                tally.add("kills")
        last = site.run()
        assert last.code == 0, last.said
        lost = whole.made().keys() - site.made().keys()
        changed = [n for n, content in site.made().items() if whole.made().get(n) != content]
        tally.add("lost", len(lost))
        tally.add("changed", len(changed))
        assert not lost and not changed
        assert site.run().said == last.said  # nothing to be done


@pytest.mark.fault(3)
def test_a_resumed_run_repeats_only_what_was_not_saved(empty, whole, tally):
    """Executed steps prove it: those of all attempts are the run's and those after a save."""
    job = whole.job("finetune")
    for _ in range(tally.times(2, 20)):
        site, unsaved = empty("finetune"), []
        for share in (0.3, 0.7):
            attempt = site.start(job)
            wait_for_steps(site, attempt, int(300 * share) + sum(unsaved))
            attempt.kill()
            unsaved.append(site.unsaved_steps())
            tally.add("kills")
        assert site.run(job).code == 0
        timing = site.timing("finetune")
        assert timing["starts"] == 3
        assert timing["executed_steps"] == 300 + sum(unsaved)
        assert timing["repeated_steps"] <= sum(unsaved) < 200
        assert site.made() == whole.made()


def wait_for_steps(site, attempt, count):
    while len(site.steps()) < count:
        assert attempt.is_running(), "it ended too soon"
        time.sleep(0.002)


# --- row 6


@pytest.mark.fault(6)
def test_the_same_run_twice_at_once_is_one_result(empty, whole, tally):
    """A job that a scheduler starts again, while the first still works or just when it ends."""
    for _ in range(tally.times(2, 20)):
        site, job = empty("finetune"), whole.job("finetune")
        first = site.start(job)
        time.sleep(tally.random.uniform(0, 1.5))
        second = site.start(job)
        assert (first.wait(), second.wait()) == (0, 0), first.said
        assert site.made() == whole.made()
        tally.add("runs started twice")
        tally.add("mixed", 0)


@pytest.mark.fault(6)
def test_a_retry_after_an_error_goes_on(empty, whole):
    """The first attempt fails for want of an input; the retry has it."""
    site, job = empty("finetune"), whole.job("finetune")
    weights = site.folder / whole.job("pretrain").folder / "weights.safetensors"
    weights.rename(weights.with_suffix(".away"))
    failed = site.run(job)
    assert failed.code == 1 and "weights.safetensors is missing" in failed.said
    weights.with_suffix(".away").rename(weights)
    assert site.run(job).code == 0
    assert site.made() == whole.made()
