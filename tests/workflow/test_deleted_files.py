"""Whatever is deleted is made again, to the same bytes, and nothing that rests on it runs."""

import shutil

import pytest

pytestmark = pytest.mark.workflow


def test_a_deleted_pack_is_rebuilt_alone(site):
    before = site.bytes()
    shutil.rmtree(site.pack("quick"))
    assert site.plan() == site.jobs("quick") | site.summary()
    record = "results/runs/net@1/pictures/quick/seeds-0-1/{}.json".format
    assert site.run(record("deploy"), record("forgetting")) == site.jobs("quick")
    assert site.bytes() == before


def test_deleted_weights_are_rebuilt_and_no_run_follows(site):
    before = site.bytes(but="studies")  # a report tells seconds
    site.path("sources/net/epoch-1/weights.safetensors").unlink()
    assert site.run() == {"pretrain sources/net/epoch-1"} | site.summary()
    assert site.bytes(but="studies") == before
    assert site.plan() == set()


def test_a_deleted_state_is_rebuilt(site):
    before = site.bytes()
    next(site.pack("plain", "states").iterdir()).unlink()
    assert site.plan() == site.jobs("plain", "finetune") | site.summary()
    record = "results/runs/net@1/pictures/plain/seeds-0-1/finetune.json"
    assert site.run(record) == site.jobs("plain", "finetune")
    assert site.bytes() == before


def test_a_stage_forced_to_run_again_stops_there(site):
    before = site.bytes(but="studies")
    finetuned = {job for name in ("quick", "plain", "warm") for job in site.jobs(name, "finetune")}
    assert site.run("--forcerun", "finetune") == finetuned | site.summary()
    assert site.bytes(but="studies") == before
    assert site.plan() == set()


@pytest.mark.parametrize(
    ("file", "job"),
    [
        ("datasets/own/card.json", "prepare datasets/own"),
        ("datasets/pictures/val-labels.npy", "prepare datasets/pictures"),
        ("datasets/pictures/prepare-train.json", "prepare datasets/pictures"),
        ("sources/net/epoch-0/pretrain.json", "pretrain sources/net/epoch-0"),
        ("sources/net/epoch-0.5/training.safetensors", "pretrain sources/net/epoch-0.5"),
        ("features/net@1/own/means.safetensors", "features features/net@1/own"),
        ("features/net@1/pictures/images.safetensors", "features features/net@1/pictures"),
        ("similarity/net@1/pictures/scores.json", "scores similarity/net@1/pictures"),
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
    assert len(site.plan()) == 20
