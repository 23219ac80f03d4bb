"""Where SLURM keeps accounts: the two lines of the profile, and `sacct` for the states of jobs."""

import pytest

pytestmark = pytest.mark.cluster

DIGITS = "results/datasets/own/card.json"


def test_the_account_of_the_profile_pays_and_a_cancelled_job_is_noticed(
    accounts, unbuilt, busy, watch_on, until
):
    """`sacct` calls it CANCELLED by 0, which the SLURM plugin waits on for ever."""
    profile = unbuilt.own_profile("slurm_partition: debug", "slurm_account: ours")
    text = profile.read_text().replace("status-command: squeue", "status-command: sacct")
    profile.write_text(text)
    lock = busy(unbuilt, "prepare", "datasets/own")
    process = unbuilt.start_snakemake("--retries", "1", "--", DIGITS)
    jobs = watch_on(accounts, unbuilt)
    job = jobs.wait("RUNNING")
    assert accounts.detail(job)["Account"] == "ours"
    assert accounts.detail(job)["Partition"] == "debug"
    accounts.ask("scancel", job)
    jobs.wait("RUNNING", 2)
    lock.end()
    assert process.wait(120) == 0, unbuilt.said
    states = accounts.ask("sacct", "--allocations", "--noheader", "--format=State%30").split("\n")
    assert [state.strip() for state in states] == ["CANCELLED by 0", "COMPLETED"]
    assert "Its SLURM job is CANCELLED" in unbuilt.said


def test_a_wrong_account_is_said_to_be_one(accounts, unbuilt):
    unbuilt.own_profile("slurm_partition: debug", "slurm_account: theirs")
    message = unbuilt.fail("--", DIGITS)
    assert "The given account theirs appears to be invalid. Available accounts:" in message
    assert "ours" in message
