"""What must not make anything run again."""

import os
import shutil

import pytest

pytestmark = pytest.mark.workflow


def test_a_second_run_does_nothing(site):
    with site.finished() as jobs:
        output = site.snakemake().stdout
    assert "Nothing to be done" in output
    assert jobs == set()


def test_touched_files_change_nothing(site):
    for number, path in enumerate(sorted(site.folder.rglob("*"), reverse=True)):
        os.utime(path, (1.7e9 + number, 1.7e9 + number))
    assert site.plan() == set()
    for path in site.folder.rglob("*"):
        path.touch()
    assert site.plan() == set()


def test_snakemakes_notes_are_not_needed(site):
    shutil.rmtree(site.folder / ".snakemake")
    assert site.plan() == set()


def test_a_change_is_noticed_without_snakemakes_notes(site):
    shutil.rmtree(site.folder / ".snakemake")
    site.configure({"recipes": {"quick": {"beta": 0.02}}})
    assert site.plan() == site.jobs("quick") | site.summary()


def test_a_change_is_noticed_with_torn_notes(site):
    notes = [file for file in (site.folder / ".snakemake").rglob("*") if file.is_file()]
    for file in notes:
        os.truncate(file, file.stat().st_size // 2)
    assert notes
    site.configure({"recipes": {"quick": {"beta": 0.02}}})
    assert site.plan() == site.jobs("quick") | site.summary()


def test_a_moved_results_folder_is_as_it_was(site, tmp_path):
    moved = site.folder.rename(tmp_path / "anderswo")
    site.folder = moved
    assert site.plan() == set()
