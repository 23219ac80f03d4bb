import contextlib
import io
import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from fastpipe.config.load import load
from fastpipe.config.plan import Job, Plan
from fastpipe.errors import UserError
from fastpipe.files import digest
from fastpipe.heartbeat import heartbeat
from fastpipe.status.beats import Beat
from fastpipe.status.command import print_status, status_json, watch
from fastpipe.status.standing import standing
from fastpipe.stopping import Stopped

WORK = Path("results/.work")
TEXT = """
settings: {default_study: demo}
datasets:
  near: {providers: [{kind: sklearn, name: digits}], size: 28, channels: 1}
  own: {providers: [{kind: torchvision, name: MNIST}], size: 28, channels: 1}
sources:
  net: {dataset: own, snapshots: [0, 2], epochs: 2}
recipes:
  plain: {}
  with-a-rather-long-name-of-its-own: {alpha: 0.1}
studies:
  demo:
    title: A title
    arms:
      plain: {recipe: plain, snapshots: [net@last], targets: [near]}
      long: {recipe: with-a-rather-long-name-of-its-own, snapshots: [net@last], targets: [near]}
"""
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def plan(tmp_path, monkeypatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(TEXT)
    return Plan(load([Path("c.yaml")]))


def shown(plan: Plan, width: int = 120, study: str | None = None, terminal: bool = False) -> str:
    file = io.StringIO()
    colours = {"force_terminal": True, "color_system": "standard"} if terminal else {}
    console = Console(width=width, file=file, **colours)
    print_status(lambda: plan, study, WORK, console)
    return file.getvalue()


def beat(job: Job, **facts: object) -> Beat:
    own = {"state": "running", "host": "node-7", "pid": 4, "started": NOW, "updated": NOW}
    return Beat(stage=job.stage, folder=str(job.folder), **own | facts)


@pytest.mark.parametrize("width", [80, 120])
def test_what_runs_is_told_in_full_at_usual_widths(plan, width) -> None:
    job = plan.finetune(plan.packs("demo")[1])
    with heartbeat(WORK, "finetune", job.folder) as heart:
        heart.tell(step=412, total=1000, unit="steps", run=[3, 5], rate=26.0, images_per_s=1664.4)
        heart.tell(seconds_left=83.2, device="cuda:1", top1=0.9312)
        heart.write()
        text = shown(plan, width)
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    assert "\x1b" not in text
    for word in ("finetune", "net@2 → near", "412 / 1,000", "run 3 of 5", "1,664 images/s", "1:23"):
        assert word in text, word
    for word in ("93.1 %", "cuda:1", f"{os.uname().nodename}:{os.getpid()}", "0-4"):
        assert word in text, word
    assert "with-a-rather-long-name-of-its-own" in text


def test_a_terminal_gets_colours(plan) -> None:
    assert "\x1b[" in shown(plan, terminal=True)


def test_what_failed_is_told_with_its_reason_and_log(plan) -> None:
    job = plan.finetune(plan.packs("demo")[0])
    log = Path("results/logs", *job.folder.parts[1:], "finetune.log")
    log.parent.mkdir(parents=True)
    log.write_text("seed 0\nerror: [bold]x[/] is damaged\n")
    with pytest.raises(UserError), heartbeat(WORK, "finetune", job.folder):
        raise UserError("x is damaged")
    text = shown(plan)
    assert text.startswith("Nothing is running.")
    told = " ".join(text.split())
    assert "finetune net@2 → near, plain, seeds 0-4 failed 0 seconds ago on" in told
    assert f"seed 0 error: [bold]x[/] is damaged log: {log}" in told
    assert standing(plan, "demo", []).stages["finetune"].failed == 0
    assert re.search(r"^finetune +0 / 2 .* 1$", text, re.MULTILINE)


def fail(job: Job, error: BaseException) -> None:
    with pytest.raises(type(error)), heartbeat(WORK, job.stage, job.folder):
        raise error


def test_of_many_that_failed_the_newest_are_told(plan) -> None:
    for number, job in enumerate(plan.jobs("demo")[:9]):
        fail(job, UserError(f"fault {number}"))
    text = shown(plan)
    assert [n for n in range(9) if f"fault {n}" in text] == [4, 5, 6, 7, 8]
    assert "… and 4 more; fastpipe status --json lists them." in text
    assert len(json.loads(status_json(lambda: plan, None, WORK))["jobs"]) == 9


@pytest.mark.parametrize("error", [UserError("a fault"), Stopped("SIGTERM")])
def test_what_ended_without_success_is_told_until_it_is_done(plan, error, finish) -> None:
    job = plan.finetune(plan.packs("demo")[0])
    finish(job)
    job.record.write_text(job.record.read_text().replace('"identity": "', '"identity": "x'))
    fail(job, error)
    for _ in range(2):
        assert str(error) in shown(plan)
    finish(job)
    assert str(error) not in shown(plan)
    assert json.loads(status_json(lambda: plan, None, WORK))["jobs"] == []


def test_what_failed_is_told_if_it_is_stale_by_its_input_alone(plan, finish) -> None:
    """An input was made again, to other bytes; the job that was to follow failed."""
    jobs = plan.jobs("demo")
    for job in jobs:
        finish(job)
    first = next(job for job in jobs if job.stage == "pretrain")
    failed = next(job for job in jobs if first.record in job.reads)
    output, content = first.record.with_suffix(".bin"), json.loads(failed.record.read_text())
    failed.record.write_text(json.dumps(content | {"inputs": {str(output): digest(output)}}))
    fail(failed, UserError("a fault"))
    assert "a fault" not in shown(plan)
    output.write_bytes(b"2")
    outputs = {"outputs": {output.name: digest(output)}}
    first.record.write_text(json.dumps(json.loads(first.record.read_text()) | outputs))
    assert "a fault" in shown(plan)


def test_what_failed_is_told_if_a_study_is_stale_by_what_is_behind_it(plan, finish) -> None:
    *behind, report = plan.jobs("demo")
    for job in (*behind, report):
        finish(job)
    fail(report, UserError("a fault"))
    assert "a fault" not in shown(plan)
    behind[-1].record.unlink()
    assert "a fault" in shown(plan)


def test_what_no_study_asks_for_any_more_is_not_told(plan) -> None:
    short, long = (plan.finetune(pack) for pack in plan.packs("demo"))
    fail(short, UserError("short fault"))
    fail(long, UserError("long fault"))
    without = """{"studies": {
        "demo": {"arms": {"long": {"recipe": "plain"}}},
        "other": {"title": "O", "arms": {"o": {"recipe": "RECIPE", "snapshots": ["net@2"],
                                               "targets": ["near"]}}}}}"""
    for recipe, told in (("plain", False), ("with-a-rather-long-name-of-its-own", True)):
        Path("other.yaml").write_text(without.replace("RECIPE", recipe))
        text = shown(Plan(load([Path("c.yaml"), Path("other.yaml")])))
        assert "short fault" in text
        assert ("long fault" in text) is told  # whichever study it is that asks for it


def test_totals_of_a_study_count_what_is_done_stale_and_missing(plan, finish) -> None:
    jobs = plan.jobs("demo")
    for job in jobs:
        finish(job)
    whole = standing(plan, "demo", []).whole
    assert (whole.current, whole.jobs, whole.seconds_left) == (len(jobs), len(jobs), 0.0)
    assert shown(plan).rstrip().endswith(f"All {len(jobs)} jobs are done.")
    first, second = (plan.finetune(pack) for pack in plan.packs("demo"))
    first.record.write_text(first.record.read_text().replace('"identity": "', '"identity": "x'))
    second.record.unlink()
    stages = standing(plan, "demo", []).stages
    finetune = stages["finetune"]
    assert (finetune.current, finetune.stale, finetune.missing) == (0, 1, 1)
    assert (stages["report"].stale, stages["prepare"].current) == (1, 2)  # it would follow


def test_the_end_is_reckoned_from_the_rates_of_what_runs_and_the_estimate_of_the_rest(
    plan, monkeypatch, finish
) -> None:
    monkeypatch.setattr("fastpipe.estimate.Estimate.seconds", lambda *_: 100.0)
    monkeypatch.setattr("fastpipe.status.standing.cores", lambda: 2)
    jobs = plan.jobs("demo")
    for job in jobs:
        if job.stage != "finetune":
            finish(job)
    first, second = (plan.finetune(pack) for pack in plan.packs("demo"))
    follow = 2 * 100  # collect and report

    def left(*beats: Beat) -> tuple[float, int]:
        found = standing(plan, "demo", beats)
        return found.seconds_left, found.parallel

    assert left() == ((200 + follow) / 2, 2)
    assert left(beat(first, seconds_left=30.0)) == (30 + 100 + follow, 1)
    both = beat(first, seconds_left=30.0), beat(second, seconds_left=50.0)
    assert left(*both) == ((80 + follow) / 2, 2)
    assert left(beat(first, seconds_left=900.0), both[1]) == (900, 2)  # one long job at the end
    fresh = beat(first, updated=NOW + timedelta(seconds=40))
    assert left(fresh) == (100 - 40 + 100 + follow, 1)
    lost = beat(first, state="lost", seconds_left=1.0)
    assert left(lost) == left()


def test_live_it_goes_on_until_ctrl_c(plan, monkeypatch, capsys) -> None:
    job, rounds = plan.finetune(plan.packs("demo")[0]), []
    fail(job, UserError("a fault"))

    def sleep(seconds: float) -> None:
        """In the first pause the job starts again; in the second the user has seen enough."""
        rounds.append(capsys.readouterr().out)
        if len(rounds) == 2:
            raise KeyboardInterrupt
        running.enter_context(heartbeat(WORK, "finetune", job.folder))

    monkeypatch.setattr("fastpipe.status.command.time.sleep", sleep)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with contextlib.ExitStack() as running:
        watch(lambda: plan, None, WORK)
    first, second = rounds
    assert "a fault" in first and "Nothing is running." in first and "Study demo" in first
    assert "a fault" not in second and "Running" in second and "net@2 → near" in second


def test_an_unknown_study_is_refused_but_what_runs_is_told_first(plan, capsys) -> None:
    with pytest.raises(UserError, match="there is no study 'dmeo'; did you mean 'demo'"):
        print_status(lambda: plan, "dmeo", WORK)
    assert capsys.readouterr().out.startswith("Nothing is running.")


def test_a_faulty_configuration_does_not_hide_what_runs(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    def refuse() -> Plan:
        raise UserError("config/x.yaml: no")

    with heartbeat(WORK, "prepare", Path("results/datasets/near")), pytest.raises(UserError):
        print_status(refuse, None, WORK)
    assert re.search(r"prepare +near", capsys.readouterr().out)


def test_as_json_it_is_one_object(plan) -> None:
    job = plan.finetune(plan.packs("demo")[0])
    with heartbeat(WORK, "finetune", job.folder) as heart:
        heart.tell(step=4, total=8)
        heart.write()
        found = json.loads(status_json(lambda: plan, None, WORK))
    (running,) = found["jobs"]
    assert (running["stage"], running["folder"]) == ("finetune", str(job.folder))
    assert (running["step"], running["total"]) == (4, 8)
    assert found["study"]["study"] == "demo"
    assert found["study"]["stages"]["finetune"]["missing"] == 2
    assert found["study"]["stages"]["finetune"]["running"] == 1
