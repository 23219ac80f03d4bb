"""Whatever is deleted is made again, to the same bytes, and nothing that rests on it runs."""

import shutil

import pytest

pytestmark = pytest.mark.workflow


@pytest.fixture
def made_again(site):
    """Run snakemake, check that all results have the bytes of before, return the jobs."""
    before = site.bytes(but="studies")  # a report tells seconds

    def run(*arguments: str) -> set[str]:
        jobs = site.run(*arguments)
        assert site.bytes(but="studies") == before
        assert site.plan() == set()
        return jobs

    return run


def test_a_deleted_pack_is_rebuilt_alone(site, made_again):
    shutil.rmtree(site.pack("quick"))
    assert made_again() == site.jobs("quick") | site.summary()


def test_deleted_weights_are_rebuilt_and_no_run_follows(site, made_again):
    site.path("sources/net/epoch-1/weights.safetensors").unlink()
    assert made_again() == {"pretrain sources/net/epoch-1"} | site.summary()


def test_a_deleted_state_is_rebuilt(site, made_again):
    next(site.pack("plain", "states").iterdir()).unlink()
    assert made_again() == site.jobs("plain", "finetune") | site.summary()


def test_a_stage_forced_to_run_again_stops_there(site, made_again):
    finetuned = {job for name in ("quick", "plain", "warm") for job in site.jobs(name, "finetune")}
    assert made_again("--forcerun", "finetune") == finetuned | site.summary()


@pytest.mark.parametrize(
    ("file", "job"),
    [
        ("datasets/own/card.json", "prepare datasets/own"),
        ("datasets/pictures/val-labels.npy", "prepare datasets/pictures"),
        ("datasets/pictures/prepare-train.json", "prepare datasets/pictures"),
        ("sources/net/epoch-0/pretrain.json", "pretrain sources/net/epoch-0"),
        ("sources/net/epoch-0.5/training.safetensors", "pretrain sources/net/epoch-0.5"),
        ("features/net@1/own/means.safetensors", "features features/net@1/own"),
        ("similarity/net@1/pictures/flow.parquet", "similarity similarity/net@1/pictures"),
    ],
)
def test_one_deleted_file_is_one_job(site, file, job):
    site.path(file).unlink()
    assert site.plan() == {job} | site.summary()


def test_a_deleted_report_is_drawn_again(site):
    shutil.rmtree(site.path("studies/tiny/charts"))
    assert site.plan() == {"report studies/tiny"}


def test_everything_deleted_is_everything_again(site):
    shutil.rmtree(site.path())
    assert len(site.plan()) == 19
