"""SIGKILL at every named place between the steps of writing: old or new, never mixed."""

import ast
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from fastpipe.config.plan import Job
from fastpipe.data.providers.downloads import downloaded
from fastpipe.files import canonical_json, digest
from fastpipe.integrity import read_record, verify

pytestmark = pytest.mark.fault(2)
CODE = Path(__file__).parents[2] / "fastpipe"

STAGES = {
    "file": ["finetune", "prepare"],
    "publish": ["finetune", "prepare"],
    "stage": ["finetune", "prepare", "collect"],
    "seen": ["finetune"],
    "lock": ["finetune"],
    "tensors": ["finetune", "pretrain", "features"],
    "save": ["finetune", "pretrain"],
    "run": ["finetune"],
    "tables": ["finetune"],
    "images": ["prepare"],
    "labels": ["prepare"],
    "database": ["collect"],
    "charts": ["report"],
}
"""Stages that come to the places whose names begin so."""
BY_HAND = {"download", "export"}
"""Those that no stage of the tiny study comes to; tested one by one below."""


def named_places() -> list[str]:
    """Every name in a call of `crash_point`, in the whole code."""
    return sorted(
        node.args[0].value
        for file in CODE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "crash_point"
    )


def kind(place: str) -> str:
    return place.partition("-")[0]


PLACES = [place for place in named_places() if kind(place) not in BY_HAND]
CASES = [(place, stage) for place in PLACES for stage in STAGES.get(kind(place), ["none"])]


def test_every_place_has_a_name_of_its_own():
    assert len(set(named_places())) == len(named_places()) > 20
    assert {kind(place) for place in named_places()} == {*STAGES, *BY_HAND}


def earlier(job: Job) -> Job:
    """The same job as it was declared before: other results where a recipe makes them."""
    spec = json.loads(job.spec)
    if job.stage == "finetune":
        spec["recipe"]["steps"] = 20
    if job.stage == "pretrain":
        spec["lr"] = 0.01
    identities = tuple((name, f"earlier {identity}") for name, identity in job.identities)
    return replace(job, spec=canonical_json(spec), identities=identities)


@pytest.fixture(scope="module")
def befores(whole, tmp_path_factory):
    """By stage: the study with an earlier result of it."""
    made = {}

    def before(stage):
        if stage not in made:
            folder = tmp_path_factory.mktemp(f"before {stage}")
            made[stage] = whole.copy(folder / "site")
            attempt = made[stage].run(earlier(whole.job(stage)))
            assert attempt.code == 0, attempt.said
        return made[stage]

    return before


def sample(place, tally):
    """Which of a job's visits to a place: the first, and where files differ a later one."""
    return [1, *([tally.random.randrange(2, 6)] if kind(place) in ("file", "save") else [])]


@pytest.mark.parametrize(("place", "stage"), CASES)
def test_old_or_new_never_mixed(befores, whole, tmp_path, tally, place, stage):
    before, job = befores(stage), whole.job(stage)
    for visit in range(1, 41) if tally.whole else sample(place, tally):
        site = before.copy(tmp_path / f"{visit}")
        attempt = site.run(job, FASTPIPE_CRASH=f"{place}:{visit}")
        if attempt.code == 0 and visit > 1:
            break
        assert attempt.code == -signal.SIGKILL, attempt.said
        said = attempt.said
        for record in job.records:
            check_old_or_new(site.folder / record, before.folder / record, whole.folder / record)
        done = all(is_new(site.folder / r, whole.folder / r) for r in job.records)
        again = site.run(job)
        assert again.code == 0, again.said
        assert ("runs" in again.said.replace(said, "")) is not done
        assert_same(site, whole, job)
        left = {f.name for f in (site.folder / "results/.work").iterdir()}
        assert left - {"heartbeats"} == {"locks"} or done
        tally.add("kills at crash points")
        tally.add("mixed", 0)


def check_old_or_new(found, old, new):
    """A record that is there is one of the two, and vouches for what lies beside it."""
    if found.exists():
        verify(found)
        outputs = read_record(found)["outputs"]
        assert outputs in (read_record(old)["outputs"], read_record(new)["outputs"]) or any(
            name.endswith(".duckdb") for name in outputs
        )


def is_new(found, new):
    return found.exists() and read_record(found)["identity"] == read_record(new)["identity"]


def assert_same(site, whole, job):
    """The job's results are those of an undisturbed run."""
    for record in job.records:
        verify(site.folder / record)
    assert site.made_by(job) == whole.made_by(job)


# --- where no stage of the tiny study comes


def killed_at(place: str, work) -> None:
    """Do something in a forked child, which must be killed at the place."""
    child = os.fork()
    if child == 0:
        os.environ["FASTPIPE_CRASH"] = place
        try:
            work()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("place", [p for p in named_places() if kind(p) == "download"])
def test_a_download_is_whole_or_not_there(tmp_path, tally, place):
    def fetch(folder):
        (folder / "a.bin").write_bytes(b"a" * 1000)
        (folder / "b.bin").write_bytes(b"b" * 1000)

    killed_at(place, lambda: downloaded(tmp_path, "data", fetch))
    final = tmp_path / "data"
    assert not final.exists() or len(list(final.iterdir())) == 2
    assert sorted(f.name for f in downloaded(tmp_path, "data", fetch).iterdir()) == [
        "a.bin",
        "b.bin",
    ]
    assert [f.name for f in tmp_path.iterdir() if "partial" in f.name] == []
    tally.add("kills at crash points")


@pytest.mark.parametrize("place", [p for p in named_places() if kind(p) == "export"])
def test_an_export_is_old_or_new(whole, tmp_path, tally, place):
    from fastpipe.export import export

    run, out = whole.folder / whole.job("finetune").folder, tmp_path / "model.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(whole.folder)
        export(run.relative_to(whole.folder), out, seed=0)
        old = digest(out)
        arguments = {"seed": 1, "force": True}
        killed_at(place, lambda: export(run.relative_to(whole.folder), out, **arguments))
        card = out.with_suffix(".json")
        if card.exists():  # it vouches for the file
            assert json.loads(card.read_text())["sha256"] == digest(out) == old
        export(run.relative_to(whole.folder), out, **arguments)
        assert json.loads(card.read_text())["sha256"] == digest(out) != old
    tally.add("kills at crash points")
