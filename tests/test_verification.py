import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from fastpipe import verification
from fastpipe.config.packed import Packed
from fastpipe.config.plan import Job
from fastpipe.errors import UserError
from fastpipe.stages.job import stage_job
from fastpipe.verification import Rebuild, Verification, print_verification, verify_results

WORK = Path("results/.work")


class Planned:
    """A plan of targets."""

    packed = Packed()

    def __init__(self, **targets: list[Job]):
        self.targets = targets

    def jobs(self, target: str) -> list[Job]:
        return self.targets[target]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job(name: str, identity: str = "right") -> Job:
    folder = Path("results/similarity") / name
    return Job("scores", folder, "{}", "code", "", (), (("scores.json", identity),))


def do(job: Job) -> Job:
    with stage_job(job.stage, job.folder, spec={}, identity=job.identity, work=WORK) as running:
        running.output("a.parquet").write_bytes(b"12345")
        running.output("states/b.bin").write_bytes(b"1234567")
    return job


@pytest.fixture
def one() -> Job:
    return do(job("one"))


@pytest.fixture
def two() -> Job:
    return do(job("a study's two"))


def printed(result: Verification, rebuild: Rebuild | None = None) -> list[str]:
    text = io.StringIO()
    print_verification(result, rebuild or Rebuild(), Console(file=text, width=60))
    return text.getvalue().splitlines()


def test_whole_results(one: Job, two: Job) -> None:
    result = verify_results(Planned(s=[one, two, job("to do")]), None)
    assert (result.damaged, result.stale, result.foreign) == ([], [], [])
    assert (result.files, result.bytes, result.missing) == (4, 24, 1)
    assert printed(result) == [
        "Files read: 4 (24 bytes). Results damaged: 0, stale: 0. Files that no configuration asks "
        "for: 0. Jobs still to do: 1. Logs, benchmarks and timings are not vouched for."
    ]


def test_every_file_is_read_whatever_was_seen_before(
    one: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    real = verification.fault
    monkeypatch.setattr(verification, "fault", lambda *a: (read.append(a[0].name), real(*a))[1])
    for _ in range(2):
        verify_results(Planned(s=[one]), None)
    assert sorted(read) == ["a.parquet", "a.parquet", "b.bin", "b.bin"]


def test_damaged_and_missing_files_with_their_commands(one: Job, two: Job) -> None:
    (one.folder / "a.parquet").write_bytes(b"12344")
    (one.folder / "states" / "b.bin").unlink()
    two.record.write_text("{}")
    result = verify_results(Planned(s=[one, two]), None)
    assert printed(result, Rebuild(("snakemake",), (Path("my config.yaml"),))) == [
        "results/similarity/one/a.parquet is damaged: its bytes are not those its record vouches "
        "for.",
        "results/similarity/one/states/b.bin is missing.",
        "  rm results/similarity/one/scores.json && snakemake results/similarity/one/scores.json "
        "--configfile 'my config.yaml'",
        "results/similarity/a study's two/scores.json is damaged: it lists no inputs.",
        "  rm 'results/similarity/a study'\"'\"'s two/scores.json' && snakemake "
        "'results/similarity/a study'\"'\"'s two/scores.json' --configfile 'my config.yaml'",
        "All of it at once:",
        "  rm results/similarity/one/scores.json "
        "'results/similarity/a study'\"'\"'s two/scores.json' && "
        "snakemake results/similarity/one/scores.json "
        "'results/similarity/a study'\"'\"'s two/scores.json' --configfile 'my config.yaml'",
        "Files read: 1 (5 bytes). Results damaged: 2, stale: 0. Files that no configuration asks "
        "for: 0. Jobs still to do: 0. Logs, benchmarks and timings are not vouched for.",
    ]


def test_a_folder_in_the_place_of_a_file(one: Job) -> None:
    (one.folder / "a.parquet").unlink()
    (one.folder / "a.parquet").mkdir()
    lines = printed(verify_results(Planned(s=[one]), None))
    assert lines[:2] == [
        "results/similarity/one/a.parquet cannot be read: Is a directory.",
        "  rm results/similarity/one/scores.json && snakemake results/similarity/one/scores.json",
    ]


def test_only_missing_files_need_no_rm(one: Job) -> None:
    (one.folder / "a.parquet").unlink()
    (damage,) = verify_results(Planned(s=[one]), None).damaged
    assert Rebuild().command(damage.removed, [damage.record]) == f"snakemake {one.record}"


def test_stale_results(one: Job, two: Job) -> None:
    result = verify_results(Planned(s=[job("one", identity="another"), two]), None)
    assert result.damaged == []
    assert printed(result)[:2] == [
        "results/similarity/one/scores.json was made with other settings, inputs or code than are "
        "asked for now.",
        "  snakemake results/similarity/one/scores.json",
    ]


def test_long_lists_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_SHOWN", 1)
    for name in ("one", "two", "three"):
        do(job(name))
        Path(f"results/{name}.txt").touch()
    asked = [job(name, identity="another") for name in ("one", "two", "three")]
    lines = printed(verify_results(Planned(s=asked), None))
    assert lines[2:-1] == [
        "… and 2 more stale results",
        "Files that no configuration asks for (fastpipe prune tells more):",
        "  results/one.txt",
        "  … and 2 more files",
    ]


def test_foreign_files_and_results(one: Job, two: Job) -> None:
    notes = [one.folder / "notes.txt", Path("results/else/x.bin")]
    for file in (*notes, *(Path("results", n) for n in ("logs/a", "benchmarks/b", "README.md"))):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    result = verify_results(Planned(s=[one]), None)
    assert {*notes, two.record, two.folder / "a.parquet"} < set(result.foreign)
    assert all(two.folder in f.parents or f in notes for f in result.foreign)
    of_one = verify_results(Planned(s=[one], t=[two]), "s")
    assert of_one.foreign == [one.folder / "notes.txt"]
    assert of_one.files == 2


def test_a_foreign_result_is_verified_too(one: Job) -> None:
    (one.folder / "a.parquet").write_bytes(b"")
    result = verify_results(Planned(s=[]), None)
    assert printed(result)[:2] == [
        "results/similarity/one/a.parquet is damaged: its bytes are not those its record vouches "
        "for.",
        "  no configuration asks for it: give the one that does with --configfile, or remove it "
        "with fastpipe prune",
    ]


def test_progress_is_told_in_bytes(one: Job, two: Job) -> None:
    told = []
    verify_results(Planned(s=[one, two]), None, lambda total: (told.append(total), told.append)[1])
    assert told == [24, 5, 12, 17, 24]


def test_an_unknown_study_is_named() -> None:
    with pytest.raises(UserError, match="there is no study 'demi'"):
        verify_results(Planned(demo=[]), "demi")


def test_moved_results_are_still_right(one: Job, tmp_path_factory, monkeypatch) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    Path("results").rename(elsewhere / "results")
    monkeypatch.chdir(elsewhere)
    (one.folder / ".scores.seen").write_text(json.dumps({"a.parquet": [0, 0, 0, 0]}))
    result = verify_results(Planned(s=[one]), None)
    assert (result.damaged, result.stale, result.foreign, result.files) == ([], [], [], 2)
