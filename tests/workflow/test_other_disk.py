"""Results that lie elsewhere."""

import shlex
import subprocess

import pytest

pytestmark = pytest.mark.workflow


def test_results_moved_to_another_disk(built, site, tmp_path):
    disk = tmp_path / "große Platte"
    site.configure({"settings": {"results": str(disk)}})
    disk.mkdir()  # as where a disk is mounted
    command = f"mv -T results {shlex.quote(str(disk))}"
    assert command in site.fail()
    subprocess.run(command, shell=True, cwd=site.folder, check=True)
    output = site.snakemake().stdout
    assert "Nothing to be done" in output, output
    assert site.path().resolve() == disk
    changed = {"gamma": 0.02, "results": str(disk)}
    site.configure({"settings": changed})
    wanted = {"similarity similarity/net@1/pictures"} | site.summary()
    assert site.run() == wanted
    here = site.path("similarity/net@1/pictures/similarity.json").read_text()
    there = built.path("similarity/net@1/pictures/similarity.json").read_text()
    assert here != there
    assert str(tmp_path) not in here
    assert (disk / "similarity/net@1/pictures/similarity.json").read_text() == here
