import dataclasses
import json
from pathlib import Path

import pytest

from fastpipe.audit import Audit, State, audit
from fastpipe.config.packed import PACKED
from fastpipe.config.plan import Job
from fastpipe.errors import UserError
from fastpipe.files import digest

CHAIN = ("one", "two", "three")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job(stage: str, *records: str, identity: str = "right") -> Job:
    names = records or (f"{stage}.json",)
    folder = Path("results") / stage
    return Job(stage, folder, "{}", "code", "", (), tuple((name, identity) for name in names))


def done(job: Job, *inputs: Path, content: bytes = b"1", record: str | None = None) -> Path:
    """Write one output and one record of a job as a stage would; returns the output."""
    job.folder.mkdir(parents=True, exist_ok=True)
    name = record or f"{job.stage}.json"
    output = job.folder / name.replace(".json", ".bin")
    output.write_bytes(content)
    content = {
        "identity": dict(job.identities)[name],
        "inputs": {str(path): digest(path) for path in inputs},
        "outputs": {output.name: digest(output)},
    }
    (job.folder / name).write_text(json.dumps(content))
    return output


@pytest.fixture
def chain() -> dict[str, Job]:
    """Three jobs, each made from the one before, all done."""
    jobs = {stage: job(stage) for stage in CHAIN}
    inputs: list[Path] = []
    for each in jobs.values():
        inputs = [done(each, *inputs)]
    return jobs


def states(found: Audit, jobs: dict[str, Job]) -> list[str]:
    return [found.state(each).value for each in jobs.values()]


def test_nothing_there_is_missing() -> None:
    found = audit([job("one")])
    assert found.state(job("one")) is State.MISSING
    assert found.damages == []


def test_what_is_there_as_asked_for_is_current(chain: dict[str, Job]) -> None:
    found = audit(chain.values())
    assert states(found, chain) == ["current"] * 3
    found.refuse_damage()


def test_another_identity_is_stale(chain: dict[str, Job]) -> None:
    chain["two"] = job("two", identity="another")
    assert states(audit(chain.values()), chain) == ["current", "stale", "current"]


def test_a_missing_output_is_stale_and_no_damage(chain: dict[str, Job]) -> None:
    Path("results/two/two.bin").unlink()
    found = audit(chain.values())
    assert states(found, chain) == ["current", "stale", "current"]
    assert found.damages == []


def test_what_was_made_from_other_bytes_is_stale(chain: dict[str, Job]) -> None:
    done(chain["one"], content=b"2")  # computed anew, to other bytes
    assert states(audit(chain.values()), chain) == ["current", "stale", "current"]


def test_so_is_what_was_made_from_that(chain: dict[str, Job]) -> None:
    chain["three"] = dataclasses.replace(chain["three"], reads=(chain["two"].record,))
    done(chain["one"], content=b"2")
    assert states(audit(chain.values()), chain) == ["current", "stale", "stale"]


def test_what_was_made_from_the_same_bytes_is_current(chain: dict[str, Job]) -> None:
    done(chain["one"])  # computed anew, to the same bytes
    assert states(audit(chain.values()), chain) == ["current"] * 3


def test_deleted_intermediate_results_do_not_make_others_stale(chain: dict[str, Job]) -> None:
    Path("results/one/one.json").unlink()
    assert states(audit(chain.values()), chain) == ["missing", "current", "current"]


def test_a_job_with_several_records_is_as_good_as_the_worst_of_them() -> None:
    split = job("split", "split-a.json", "split-b.json")
    done(split, record="split-a.json")
    assert audit([split]).state(split) is State.MISSING
    done(split, record="split-b.json")
    assert audit([split]).state(split) is State.CURRENT
    text = Path("results/split/split-b.json").read_text()
    Path("results/split/split-b.json").write_text(text.replace("right", "wrong"))
    assert audit([split]).state(split) is State.STALE


def test_all_damage_is_told_at_once(chain: dict[str, Job]) -> None:
    Path("results/one/one.bin").write_bytes(b"2")
    Path("results/three/three.bin").write_bytes(b"3")
    found = audit(chain.values())
    assert states(found, chain) == ["current"] * 3
    with pytest.raises(UserError) as raised:
        found.refuse_damage()
    assert str(raised.value).splitlines() == [
        f"results/{stage}/{stage}.bin is damaged: its bytes are not those its record vouches for. "
        f"Delete results/{stage}/{stage}.json and run snakemake again to rebuild it."
        for stage in ("one", "three")
    ]


def test_bytes_need_not_be_looked_at(chain: dict[str, Job]) -> None:
    Path("results/one/one.bin").write_bytes(b"2")
    assert audit(chain.values(), digests=False).damages == []


def test_files_of_stale_jobs_are_not_looked_at(chain: dict[str, Job]) -> None:
    Path("results/two/two.bin").write_bytes(b"2")
    chain["two"] = job("two", identity="another")
    assert audit(chain.values()).damages == []


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"identity": "right"}'])
def test_a_damaged_record_is_stale_and_told(chain: dict[str, Job], text: str) -> None:
    Path("results/two/two.json").write_text(text)
    found = audit(chain.values())
    assert states(found, chain) == ["current", "stale", "current"]
    (damage,) = found.damages
    assert str(damage).startswith("results/two/two.json is damaged")
    assert "run snakemake again to rebuild it." in str(damage)


def test_a_touched_or_copied_tree_is_current(chain: dict[str, Job]) -> None:
    audit(chain.values())
    for path in Path("results").rglob("*"):
        path.touch()
    found = audit(chain.values())
    assert states(found, chain) == ["current"] * 3
    assert found.damages == []


@pytest.mark.fault(15)
def test_damaged_databases_and_reports_are_stale_and_no_error() -> None:
    jobs = [job("finetune"), job("collect"), job("report")]
    for each in jobs:
        done(each)
    assert [audit(jobs).state(each).value for each in jobs] == ["current"] * 3
    Path("results/collect/collect.bin").write_bytes(b"2")
    Path("results/report/report.json").write_text("{")
    found = audit(jobs)
    assert [found.state(each).value for each in jobs] == ["current", "stale", "stale"]
    assert found.damages == []
    assert [damage.problem.split(" is damaged")[0] for damage in found.rebuilt] == [
        "results/collect/collect.bin",
        "results/report/report.json",
    ]


def left_out(*paths: Path) -> None:
    """Remove files as a pack without weights would."""
    digests = {str(path): digest(path) for path in paths}
    content = {"left_out": digests, "listings": {}, "contents": {}}
    PACKED.write_text(json.dumps(content))
    for path in paths:
        path.unlink()


def test_what_a_pack_left_out_counts_as_being_there(chain: dict[str, Job]) -> None:
    left_out(*(Path(f"results/{stage}/{stage}.bin") for stage in CHAIN))
    found = audit(chain.values())
    assert states(found, chain) == ["current"] * 3
    assert found.damages == []


def test_a_file_with_another_digest_was_not_left_out(chain: dict[str, Job]) -> None:
    output = Path("results/two/two.bin")
    left_out(output)
    PACKED.write_text(PACKED.read_text().replace(digest(Path("results/one/one.bin")), "other"))
    assert states(audit(chain.values()), chain) == ["current", "stale", "current"]


def test_what_was_left_out_is_missing_once_it_is_to_be_read(chain: dict[str, Job]) -> None:
    for stage, before in (("two", "one"), ("three", "two")):
        chain[stage] = dataclasses.replace(chain[stage], reads=(chain[before].record,))
    left_out(*(Path(f"results/{stage}/{stage}.bin") for stage in ("one", "two")))
    assert states(audit(chain.values()), chain) == ["current"] * 3
    Path("results/three/three.json").unlink()
    assert states(audit(chain.values()), chain) == ["missing"] * 3


def test_a_damaged_record_beside_what_was_left_out_is_told_like_any_other(
    chain: dict[str, Job],
) -> None:
    chain["two"] = dataclasses.replace(chain["two"], reads=(chain["one"].record,))
    left_out(Path("results/three/three.bin"))
    for stage in ("one", "two"):
        chain[stage].record.write_bytes(b"")
    found = audit(chain.values())
    assert states(found, chain) == ["stale", "stale", "current"]
    assert [damage.problem.split(" is damaged")[0] for damage in found.damages] == [
        "results/one/one.json",
        "results/two/two.json",
    ]


def test_tables_are_collected_without_what_was_left_out(chain: dict[str, Job]) -> None:
    collect = dataclasses.replace(job("collect"), reads=(chain["one"].record,))
    left_out(Path("results/one/one.bin"))
    assert states(audit([*chain.values(), collect]), chain) == ["current"] * 3


@pytest.mark.parametrize("text", ["[]", "{}", '{"left_out": [], "listings": {}, "contents": {}}'])
def test_a_damaged_manifest_is_told(chain: dict[str, Job], text: str) -> None:
    PACKED.write_text(text)
    with pytest.raises(UserError, match=r"packed\.json is damaged"):
        audit(chain.values())
