import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from fastpipe.config.load import load
from fastpipe.config.names import Pack, Snapshot
from fastpipe.config.plan import Job, Plan
from fastpipe.estimate import Estimate
from fastpipe.forecast.costs import GUESS

TEXT = """
datasets:
  near: {providers: [{kind: sklearn, name: digits}], size: 28, channels: 1, test: 0.5}
  own:
    providers: [{kind: packages, registry: npm, package: x}, {kind: torchvision, name: CIFAR10}]
    size: 32
    channels: 1
    train_per_class: 100
    test_per_class: 20
    validation: 0.1
  unknown: {providers: [{kind: torchvision, name: Flowers102}], size: 32, channels: 1}
sources:
  net: {dataset: own, snapshots: [0, 0.5, 2], epochs: 2}
recipes:
  plain: {steps: 20}
studies:
  demo:
    title: A title
    seeds: 2
    arms:
      first: {recipe: plain, snapshots: [net@last], targets: [near]}
"""
PACK = Pack(Snapshot("net", 2.0), "near", "plain", 0, 4)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(TEXT)
    return Plan(load([Path("c.yaml")]))


def test_images_of_each_stage(plan: Plan) -> None:
    estimate = Estimate(plan)
    images = estimate.images
    assert images(plan.prepare("own")) == 1200
    assert [images(plan.pretrain(Snapshot("net", epoch))) for epoch in (0.0, 0.5, 2.0)] == [
        *(100, 450 + 1.5 * 100, 1350 + 2.5 * 100)  # trained on, and validated at each epoch
    ]
    assert images(plan.features(Snapshot("net", 2.0), "own")) == 900 + 100
    assert images(plan.similarity(Snapshot("net", 2.0), "near", Snapshot("net", 2.0))) == 0
    # validations at 1, 3, 6, 10, 15, 20; deployments at 0, 1, 2, 3, 5, 8, 13, 20
    assert images(plan.finetune(PACK)) == 5 * (20 * 100 + 6 * 45) + 854
    assert images(plan.deploy(PACK)) == 5 * 8 * 898
    assert images(plan.forgetting(PACK)) == 5 * 8 * 200
    assert images(plan.collect("demo")) == 0


def time_it(job: Job, seconds: float, host: str | None = None, **timing: object) -> None:
    """Leave the record and the timing file of a job as if it had run."""
    job.folder.mkdir(parents=True, exist_ok=True)
    spec = json.loads(job.spec)
    host = host or socket.gethostname()
    (job.folder / f"{job.stage}.json").write_text(json.dumps({"spec": spec, "facts": {}}))
    content = {"seconds": seconds, "host": host} | timing
    (job.folder / f"{job.stage}.timing.json").write_text(json.dumps(content))


def prepare_all(plan: Plan) -> None:
    """Leave the records of prepared datasets."""
    for name, sizes in (("near", (854, 45, 898)), ("own", (900, 100, 200))):
        folder = Path("results/datasets", name)
        folder.mkdir(parents=True)
        spec = plan.config.datasets[name].model_dump(mode="json")
        for split, count in zip(("train", "val", "test"), sizes, strict=True):
            record = {"spec": spec, "facts": {"count": count}}
            (folder / f"prepare-{split}.json").write_text(json.dumps(record))


def packs(count: int) -> list[Pack]:
    return [replace(PACK, first=5 * n, last=5 * n + 4) for n in range(count)]


def test_images_are_unknown_until_the_data_are_there(plan: Plan) -> None:
    estimate, job = Estimate(plan), plan.prepare("unknown")
    assert estimate.images(job) is None and not estimate.knows(job)
    assert estimate.seconds(job) == pytest.approx(GUESS["cpu"].jobs)
    assert estimate.bytes(job) == 0


def test_jobs_of_a_stage_that_were_timed_here_say_how_long_others_take(plan: Plan) -> None:
    prepare_all(plan)
    job = plan.finetune(PACK)
    guessed = Estimate(plan).seconds(job)
    assert not Estimate(plan).was_timed(job)
    for pack in packs(40)[1:]:
        time_it(plan.finetune(pack), 50.0)
    assert Estimate(plan).seconds(job) == pytest.approx(50.0, rel=0.05)
    assert guessed < 20
    assert Estimate(plan).was_timed(job) and Estimate(plan).costs("finetune").jobs == 39
    assert not Estimate(plan).was_timed(plan.deploy(PACK))


def test_other_machines_say_so_only_where_this_one_has_no_timings(plan: Plan) -> None:
    prepare_all(plan)
    job = plan.finetune(PACK)
    for pack in packs(20)[1:]:
        time_it(plan.finetune(pack), 50.0, host="elsewhere")
    assert Estimate(plan).seconds(job) == pytest.approx(50.0, rel=0.1)
    for pack in packs(40)[20:]:
        time_it(plan.finetune(pack), 5.0)
    assert Estimate(plan).seconds(job) == pytest.approx(5.0, rel=0.1)


def test_a_resumed_job_says_nothing_and_neither_does_a_torn_file(plan: Plan) -> None:
    prepare_all(plan)
    guessed = Estimate(plan).seconds(plan.finetune(PACK))
    first, second = packs(3)[1:]
    time_it(plan.finetune(first), 50.0, starts=2)
    time_it(plan.finetune(second), 50.0)
    (plan.finetune(second).folder / "finetune.timing.json").write_text('{"seconds": 50')
    assert Estimate(plan).seconds(plan.finetune(PACK)) == guessed


def test_a_network_that_was_never_timed_is_judged_by_its_multiplications(plan: Plan) -> None:
    Path("more.yaml").write_text(
        "sources:\n"
        "  large: {dataset: own, backbone: {name: resnet18}, snapshots: [0]}\n"
        "  larger: {dataset: own, backbone: {name: resnet101}, snapshots: [0]}\n"
        "  strange: {dataset: own, backbone: {name: timm/unheard_of}, snapshots: [0]}\n"
        "datasets: {own: {channels: 3}, near: {channels: 3}}"
    )
    plan = Plan(load([Path("c.yaml"), Path("more.yaml")]))
    estimate = Estimate(plan)
    large, larger, strange = (
        plan.finetune(replace(PACK, snapshot=Snapshot(source, 0.0)))
        for source in ("large", "larger", "strange")
    )
    more = estimate.seconds(larger) - estimate.seconds(large)
    # 1.814 and 7.801 thousand million multiplications at 224 pixels; three times in training
    gmacs = (7.801 - 1.814) * (28 / 224) ** 2
    images = 5 * (3 * 20 * 100 + 6 * 45)
    assert more == pytest.approx(images * gmacs / 1e3 * GUESS["cpu"].tmacs)
    assert estimate.knows(large) and not estimate.knows(strange)
    assert estimate.seconds(strange) == pytest.approx(GUESS["cpu"].jobs)
    # four bytes for each number of the body and of a head for ten classes, for 8 states of 5 runs
    assert estimate.bytes(large) == 5 * 8 * 4 * (11_186_132 + 513 * 10)
    assert estimate.bytes(strange) == 0
    assert estimate.bytes(plan.features(Snapshot("strange", 0.0), "own")) == 0
    assert estimate.bytes(plan.features(Snapshot("large", 0.0), "own")) == 4 * (
        1000 * (512 + 10) + 10 * 512
    )


def test_what_a_network_does_not_see_of_an_image_costs_no_multiplications(plan: Plan) -> None:
    Path("larger.yaml").write_text("datasets: {near: {size: 64, view: 28}}")
    larger = Plan(load([Path("c.yaml"), Path("larger.yaml")]))
    seconds = Estimate(larger).seconds(larger.finetune(PACK))
    assert seconds == Estimate(plan).seconds(plan.finetune(PACK))


def test_bytes_of_prepared_images_are_their_pixels_and_labels(plan: Plan) -> None:
    assert Estimate(plan).bytes(plan.prepare("own")) == 1200 * (32 * 32 + 8)
    assert Estimate(plan).bytes(plan.collect("demo")) == 0


def test_on_a_gpu_only_jobs_of_a_gpu_count(plan: Plan) -> None:
    prepare_all(plan)
    for pack in packs(20)[1:]:
        time_it(plan.finetune(pack), 5000.0)
    Path("gpu.yaml").write_text("settings: {compute: {device: cuda}}")
    plan = Plan(load([Path("c.yaml"), Path("gpu.yaml")]))
    estimate = Estimate(plan)
    assert estimate.device == "cuda" and estimate.costs("finetune").costs == GUESS["cuda"]
    assert estimate.costs("prepare").costs == GUESS["cpu"]
