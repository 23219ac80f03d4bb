import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from fastpipe.check import _size, print_plan
from fastpipe.config.load import load
from fastpipe.config.plan import Plan
from fastpipe.durations import duration
from fastpipe.errors import UserError
from fastpipe.estimate import GPU_STAGES

CONFIG = """
datasets:
  near: {providers: [{kind: sklearn, name: digits}], size: 28, channels: 1}
  far-away: {providers: [{kind: packages, registry: npm, package: far}], size: 28, channels: 1}
  own: {providers: [{kind: torchvision, name: MNIST}], size: 28, channels: 1, test_per_class: 250}
sources:
  net: {dataset: own, snapshots: [0, 0.5, 2], epochs: 2}
recipes:
  plain: {}
  fast: {alpha: 0.1, beta: 0.001, head_init: normal}
studies:
  demo:
    title: A title
    arms:
      plain: {recipe: plain, snapshots: [net@last], targets: [near]}
      a-fast-arm-with-a-long-name:
        {recipe: fast, snapshots: [net@all], targets: [near, own], overrides: {momentum: 0.5}}
      sweep: {recipe: plain, snapshots: [net@0], targets: [near], overrides: {alpha: [1e-5, 1]}}
  both: {title: Of studies, includes: [wide]}
  wide:
    title: Another
    seeds: 12
    arms: {plain: {recipe: plain, snapshots: [net@last], targets: [near, far-away]}}
"""


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    Path("c.yaml").write_text(CONFIG)
    return Plan(load([Path("c.yaml")]))


def shown(plan: Plan, study: str | None = None, width: int = 120) -> str:
    console = Console(record=True, width=width, file=io.StringIO())
    print_plan(plan, study, console)
    return console.export_text()


def cells(text: str, first: str) -> list[str]:
    """Cells of the row that starts with `first`."""
    (line,) = [line for line in text.splitlines() if line.split("  ")[0].strip() == first]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_everything_is_to_do_at_first(plan: Plan) -> None:
    text = shown(plan, "demo")
    assert cells(text, "near") == ["near", "1,366", "72", "359", "to do"]
    assert cells(text, "own") == ["own", "57,000", "3,000", "2,500", "to do"]
    assert cells(text, "net@0.5") == ["net@0.5", "small-cnn", "own", "to do"]
    assert cells(text, "pretrain") == ["pretrain", "3", "0", "0", "3", "129,000"]
    assert cells(text, "finetune")[:5] == ["finetune", "9", "0", "0", "9"]
    assert cells(text, "report") == ["report", "1", "0", "0", "1", "0"]
    assert "far-away" not in text
    assert " on 3 cores (" in text.splitlines()[-2]
    assert text.splitlines()[-1] == "These are first guesses: no job has been timed here yet."


def test_one_row_for_each_arm_and_each_value_of_a_sweep(plan: Plan) -> None:
    text = shown(plan, "demo")
    assert cells(text, "plain") == ["plain", "net@2", "near", "0.01", "0.01", "200", "5", "0/1"]
    assert cells(text, "a-fast-arm-with-a-long-name") == [
        *("a-fast-arm-with-a-long-name", "net@0, @0.5, @2", "near, own"),
        *("0.1", "0.001", "200", "5", "0/6"),
    ]
    assert "  fast+momentum=0.5" in text.splitlines()[text.splitlines().index(row(text, "a-f")) + 1]
    assert cells(text, "sweep+alpha=1e-05")[3:] == ["1e-05", "0.01", "200", "5", "0/1"]
    assert cells(text, "sweep+alpha=1")[3:] == ["1", "0.01", "200", "5", "0/1"]


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_nothing_is_cut_off_at_usual_widths(plan: Plan, width: int) -> None:
    text = shown(plan, "demo", width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for word in ("net@0,", "@0.5,", "near,", "images to process"):
        assert word in text, word
    assert [line.rstrip()[-4:] for line in text.splitlines() if "/" in line] == [
        *(" 0/1", " 0/6", " 0/1", " 0/1"),
    ]


def test_a_narrow_console_has_a_variants_parts_below_each_other(plan: Plan) -> None:
    lines = [line.rstrip() for line in shown(plan, "demo", 80).splitlines()]
    at = next(i for i, line in enumerate(lines) if line.startswith("a-fast-arm"))
    firsts = [line[:20].rstrip() for line in lines[at : at + 4]]
    assert firsts == ["a-fast-arm-with-a-lo", "ng-name", "  fast", "  +momentum=0.5"]


def test_done_stale_and_to_do_are_counted(plan: Plan, finish) -> None:
    jobs = plan.jobs("demo")
    for job in jobs:
        if job.stage in ("prepare", "pretrain"):
            finish(job)
    stale = plan.pretrain(plan.snapshots("demo")[0]).record
    stale.write_text(stale.read_text().replace('"identity": "', '"identity": "other'))
    finish(plan.finetune(plan.packs("demo")[0]))
    text = shown(plan, "demo")
    assert cells(text, "prepare")[1:5] == ["2", "2", "0", "0"]
    assert cells(text, "pretrain")[1:5] == ["3", "2", "1", "0"]
    assert cells(text, "finetune")[1:5] == ["9", "1", "0", "8"]
    assert cells(text, "net@2")[-1] == "stale"
    assert cells(text, "net@0")[-1] == "done"
    assert cells(text, "near")[-1] == "done"
    assert cells(text, "plain")[-1] == "1/1"


def test_when_all_is_done_there_is_nothing_to_be_done(plan: Plan, finish) -> None:
    for job in plan.jobs("demo"):
        finish(job)
    text = shown(plan, "demo")
    assert text.splitlines()[-1] == "Nothing to be done."
    assert "to do" not in text.replace("to do  images", "")


def test_without_a_name_the_default_study_is_shown_and_that_there_are_others(plan: Plan) -> None:
    hint = "This is the default study, demo; fastpipe check STUDY tells of another."
    assert shown(plan) == shown(plan, "demo") + hint + "\n"
    other = CONFIG + "settings: {default_study: wide}"
    Path("c.yaml").write_text(other)
    text = shown(Plan(load([Path("c.yaml")])))
    assert "Runs of wide" in text and "Runs of demo" not in text
    assert text.splitlines()[-1] == hint.replace("demo", "wide")


WITH_PHOTOS = """
datasets: {photos: {providers: [{kind: folder, path: photos}], size: 28, channels: 1}}
studies: {wide: {scales: {large: {rename: {far-away: photos}}}}}
"""


def test_without_a_name_all_image_folders_are_looked_at(plan: Plan) -> None:
    """Those of larger scales need not be there, unless such a study is asked about."""
    for name in ("cats", "dogs"):
        Path("photos", name).mkdir(parents=True)
        for number in range(3):
            Path("photos", name, f"{number}.png").write_text("no image")
    Path("photos.yaml").write_text(WITH_PHOTOS)
    files = [Path("c.yaml"), Path("photos.yaml")]
    assert "photos" not in shown(Plan(load(files)), "demo")
    with pytest.raises(UserError, match=r"would stop at other studies:\n  photos: 6 files cannot"):
        shown(Plan(load(files)))
    shutil.rmtree("photos")
    assert "photos" not in shown(Plan(load(files)))
    with pytest.raises(UserError, match=r"would stop:\n  photos: there is no folder photos"):
        shown(Plan(load(files)), "wide-large")


def test_a_study_of_studies_shows_those(plan: Plan) -> None:
    text = shown(plan, "both")
    assert "Runs of wide" in text
    assert "Runs of demo" not in text
    assert cells(text, "near") == ["near", "1,366", "72", "359", "to do"]
    assert text == shown(plan, "wide")


def test_what_is_not_known_before_the_data_are_there_is_said(plan: Plan) -> None:
    text = shown(plan, "wide")
    assert cells(text, "finetune") == ["finetune", "6", "0", "0", "6", "?"]
    *_, outlook = text.split("\n\n")
    assert outlook.startswith("At least ") and "8 of 33 jobs cannot be estimated" in outlook


def test_an_unknown_study_is_refused_with_the_nearest_name(plan: Plan) -> None:
    with pytest.raises(UserError) as raised:
        shown(plan, "dmeo")
    assert str(raised.value) == "there is no study 'dmeo'; did you mean 'demo'?"


def test_damaged_results_are_refused(plan: Plan, finish) -> None:
    job = plan.prepare("near")
    finish(job)
    (job.folder / "prepare-val.bin").write_bytes(b"2")
    printed = io.StringIO()
    with pytest.raises(UserError, match=r"near/prepare-val\.bin is damaged.*Delete") as raised:
        print_plan(plan, "demo", Console(file=printed, width=120))
    assert str(raised.value).startswith("snakemake would stop:\n")
    assert "jobs" in printed.getvalue()


@pytest.mark.parametrize(
    ("size", "text"),
    [(10, "less than 1 MB"), (5.31e6, "5.31 MB"), (5.3e8, "530 MB"), (2e12, "2,000 GB")],
)
def test_sizes_have_a_fitting_unit(size: int, text: str) -> None:
    assert _size(size) == text


def test_the_time_is_shared_by_the_cores(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastpipe.estimate.Estimate.seconds", lambda *_: 100.0)
    jobs = len(plan.jobs("demo"))
    (line,) = [line for line in shown(plan, "demo").splitlines() if line.startswith("About")]
    hours = f"{jobs * 100 / 3600:.2g} core-hours"
    assert line.startswith(f"About {duration(jobs * 100 / 3)} on 3 cores ({hours}), at most ")


def test_on_a_gpu_its_hours_are_counted_apart(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastpipe.estimate.Estimate.device", "cuda")
    monkeypatch.setattr("fastpipe.estimate.Estimate.seconds", lambda *_: 360.0)
    jobs = plan.jobs("demo")
    gpu = sum(job.stage in GPU_STAGES for job in jobs)
    text = shown(plan, "demo")
    assert f"({0.1 * (len(jobs) - gpu):.2g} core-hours), {0.1 * gpu:.2g} GPU-hours, at" in text


def test_what_the_estimate_rests_on_is_said(plan: Plan, finish) -> None:
    for job in plan.jobs("demo"):
        if job.stage == "prepare":
            finish(job)
            timing = {"seconds": 1.0, "host": "h"}
            (job.folder / "prepare.timing.json").write_text(json.dumps(timing))
            for record, identity in job.records.items():
                content = json.loads(record.read_text()) | {
                    "spec": json.loads(job.spec),
                    "facts": {"count": 50},
                    "identity": identity,
                }
                record.write_text(json.dumps(content))
    first = plan.prepare("near").records
    assert len(first) == 3
    next(iter(first)).unlink()
    last = shown(plan, "demo").splitlines()[-1]
    assert last.startswith("By 1 timed job; roughly for ") and "of whose stage" in last


# --- on what is computed


def computed_on(plan: Plan, device: str = "auto") -> list[str]:
    """Lines about the device, of a plan with this setting."""
    Path("device.yaml").write_text(f"settings: {{compute: {{device: {device}}}}}")
    lines = shown(Plan(load([Path("c.yaml"), Path("device.yaml")])), "demo", 1000).splitlines()
    return [line for line in lines if line.startswith(("Networks", "On this machine"))]


@pytest.mark.parametrize(
    ("visible", "count", "device", "said"),
    [
        (None, 0, "auto", []),
        ("", 0, "cpu", []),
        ("", 0, "auto", ["the CPU: CUDA_VISIBLE_DEVICES= hides all GPUs."]),
        ("-1", 0, "auto", ["the CPU: CUDA_VISIBLE_DEVICES=-1 hides all GPUs."]),
        ("3,1", 2, "auto", ["GPU 3, 1."]),
        (None, 2, "cuda", ["GPU 0, 1."]),
    ],
)
def test_the_device_is_the_one_that_the_stages_take(
    plan: Plan,
    gpus,
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    count: int,
    device: str,
    said: list[str],
) -> None:
    monkeypatch.setattr("fastpipe.devices._device_files", list)
    gpus.count = count
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert computed_on(plan, device) == [f"Networks are computed on {end}" for end in said]


@pytest.mark.parametrize(
    ("visible", "device", "reason"),
    [
        ("7", "auto", "CUDA_VISIBLE_DEVICES=7 names 1 of this machine's GPUs, but torch finds 0"),
        (None, "cuda", "compute.device is `cuda`, but torch finds no GPU"),
    ],
)
def test_a_device_that_stages_would_refuse_is_told_beforehand(
    plan: Plan, gpus, monkeypatch: pytest.MonkeyPatch, visible: str | None, device: str, reason: str
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    (line,) = computed_on(plan, device)
    assert line.startswith(f"On this machine jobs would fail: {reason}")


def test_where_no_network_is_left_to_compute_no_device_is_told(
    plan: Plan, gpus, monkeypatch: pytest.MonkeyPatch, finish
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for job in plan.jobs("demo"):
        if job.stage in GPU_STAGES or job.stage == "prepare":
            finish(job)
    assert computed_on(plan) == []
