"""What must not make anything run again."""

import base64
import os
import shutil
import time

import pytest

pytestmark = pytest.mark.workflow


def test_a_second_run_does_nothing(site):
    with site.finished() as jobs:
        output = site.snakemake().stdout
    assert "Nothing to be done" in output
    assert jobs == set()


@pytest.mark.fault(9)
def test_touched_files_change_nothing(site):
    for number, path in enumerate(sorted(site.folder.rglob("*"), reverse=True)):
        os.utime(path, (1.7e9 + number, 1.7e9 + number))
    assert site.plan() == set()
    for path in site.folder.rglob("*"):
        path.touch()
    assert site.plan() == set()


@pytest.mark.fault(8)
def test_snakemakes_notes_are_not_needed(site):
    shutil.rmtree(site.folder / ".snakemake")
    assert site.plan() == set()


@pytest.mark.fault(8)
def test_a_change_is_noticed_without_snakemakes_notes(site):
    shutil.rmtree(site.folder / ".snakemake")
    site.configure({"recipes": {"quick": {"beta": 0.02}}})
    assert site.plan() == site.jobs("quick") | site.summary()


@pytest.mark.fault(8)
def test_a_change_is_noticed_with_torn_notes(site):
    notes = [file for file in (site.folder / ".snakemake").rglob("*") if file.is_file()]
    for file in notes:
        os.truncate(file, file.stat().st_size // 2)
    assert notes
    site.configure({"recipes": {"quick": {"beta": 0.02}}})
    assert site.plan() == site.jobs("quick") | site.summary()


@pytest.mark.fault(8)
def test_what_a_killed_snakemake_left_is_not_believed(site):
    """Locks, and marks that files were being written: the records know that they are whole."""
    locks, marks = (site.folder / ".snakemake" / name for name in ("locks", "incomplete"))
    for folder in (locks, marks):
        folder.mkdir(exist_ok=True)
    written = [
        f"results/runs/net@1/pictures/quick/seeds-0-1/{n}" for n in ("runs.parquet", "states")
    ]
    (locks / "0.output.lock").write_text("\n".join(written) + "\n")
    for path in written:
        (marks / base64.b64encode(path.encode()).decode()).write_text('{"external_jobid": null}')
    before = site.bytes()
    assert site.run() == set()
    assert site.bytes() == before


@pytest.mark.fault(9)
def test_clocks_an_hour_off(site):
    """Half of all files seem to be of the next hour, half of the last."""
    now, before = time.time(), site.bytes()
    for number, path in enumerate(sorted(site.folder.rglob("*"))):
        shifted = now + (3600 if number % 2 else -3600)
        os.utime(path, (shifted, shifted))
    assert site.run() == set()
    assert site.bytes() == before
    site.configure({"recipes": {"quick": {"beta": 0.02}}})
    assert site.plan() == site.jobs("quick") | site.summary()


def test_a_moved_results_folder_is_as_it_was(site, tmp_path):
    moved = site.folder.rename(tmp_path / "anderswo")
    site.folder = moved
    assert site.plan() == set()
