import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fastpipe.forecast.past import Timed, network_key, read_past

NETWORK = {
    "backbone": {"name": "small-cnn", "widths": [8], "normalisation": "none"},
    "channels": 1,
    "compute": {"precision": "fp32"},
}
RUNS = {"source": "net", "epoch": 2.0, "target": "near", "variant": "plain", "seeds": [0, 1, 2]}
RECIPE = {"steps": 20, "batch_size": 10, "beta": 0.1}
PACK = "runs/net@2/near/plain/seeds-0-2"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results with two prepared datasets of 24 images each."""
    for name in ("near", "own"):
        for split, count in (("train", 12), ("val", 4), ("test", 8)):
            spec = {"dataset": name, "size": 28, "channels": 1}
            record(tmp_path / "datasets" / name / f"prepare-{split}.json", spec, count=count)
    return tmp_path


def record(path: Path, spec: Mapping[str, Any], **facts: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"spec": spec, "facts": facts}))


def time_it(folder: Path, stage: str, **timing: object) -> None:
    content = {"seconds": 2.5, "host": "node-7"} | timing
    (folder / f"{stage}.timing.json").write_text(json.dumps(content))


def only(results: Path) -> Timed:
    (timed,) = read_past(results)
    return timed


def test_a_timed_job_is_read_with_its_work(results: Path) -> None:
    time_it(results / "datasets/near", "prepare")
    timed = only(results)
    assert (timed.stage, timed.folder) == ("prepare", results / "datasets/near")
    assert (timed.host, timed.device, timed.network) == ("node-7", "cpu", "")
    assert (timed.seconds, timed.work.images) == (2.5, 24)


def test_an_evaluation_has_the_recipe_of_its_pack(results: Path) -> None:
    record(results / PACK / "finetune.json", NETWORK | RUNS | {"recipe": RECIPE})
    record(results / PACK / "deploy.json", NETWORK | RUNS, device="cuda")
    time_it(results / PACK, "deploy")
    timed = only(results)
    assert (timed.device, timed.network) == ("cuda", network_key(NETWORK))
    assert timed.work.images == 3 * 8 * 8  # seeds, steps 0, 1, 2, 3, 5, 8, 13, 20, test images
    (results / PACK / "finetune.json").unlink()
    assert read_past(results) == []


def test_multiplications_are_of_what_a_network_sees(results: Path) -> None:
    record(results / PACK / "finetune.json", NETWORK | RUNS | {"recipe": RECIPE})
    time_it(results / PACK, "finetune")
    for size, view, times in ((28, None, 1), (56, None, 4), (56, 28, 1)):
        record(results / "datasets/near/prepare-train.json", {"size": size, "view": view}, count=12)
        images = 3 * (3 * 20 * 10 + 6 * 4)  # seeds; trained on, and validated at 1, 3, 6, …, 20
        gmacs = 9 * 8 * 14**2 / 1e9
        assert only(results).work.tmacs == pytest.approx(times * images * gmacs / 1e3)


def test_a_snapshot_continues_from_the_one_before_it(results: Path) -> None:
    spec = NETWORK | {"source": "net", "epoch": 2.0, "dataset": "own", "batch_size": 4}
    for epoch, trained in (("0", 2.0), ("0.5", 1.5)):
        record(results / f"sources/net/epoch-{epoch}/pretrain.json", spec)
        record(results / "sources/net/epoch-2/pretrain.json", spec)
        time_it(results / "sources/net/epoch-2", "pretrain")
        assert only(results).work.steps == trained * 12 / 4


@pytest.mark.parametrize(
    "timing",
    [{"starts": 2}, {"seconds": 0}, {"seconds": None}, {"seconds": "?"}],
    ids=["resumed", "no time", "nothing", "text"],
)
def test_what_tells_nothing_of_a_whole_job_is_left_out(
    results: Path, timing: Mapping[str, object]
) -> None:
    time_it(results / "datasets/near", "prepare")
    time_it(results / "datasets/own", "prepare", **timing)
    assert only(results).folder.name == "near"


def test_a_job_whose_dataset_is_gone_is_left_out(results: Path) -> None:
    record(results / PACK / "finetune.json", NETWORK | RUNS | {"recipe": RECIPE})
    time_it(results / PACK, "finetune")
    assert only(results).work.runs == 3
    (results / "datasets/near/prepare-val.json").unlink()
    assert read_past(results) == []


def test_of_many_some_are_read_spread_over_all(results: Path) -> None:
    for number in range(10):
        folder = f"runs/net@2/near/plain/seeds-{number}-{number}"
        spec = NETWORK | RUNS | {"seeds": [number], "recipe": RECIPE}
        record(results / folder / "finetune.json", spec)
        time_it(results / folder, "finetune")
    read = [timed.folder.name for timed in read_past(results, most=4)]
    assert read == ["seeds-0-0", "seeds-3-3", "seeds-6-6", "seeds-9-9"]
