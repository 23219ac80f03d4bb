"""Object storage, by Snakemake's storage plugins."""

import dataclasses

import pytest

from fastpipe.opening import open_study

pytestmark = pytest.mark.workflow

OWN = """
storage:
    provider="fs"

module fastpipe:
    snakefile: {snakefile!r}

use rule * from fastpipe

rule publish:
    input: "results/studies/tiny/report.html"
    output: storage.fs({pack!r})
    shell: "fastpipe pack-study tiny {{output:q}} --force"
"""


def test_a_packed_study_goes_to_storage_and_comes_back(site, tmp_path):
    pack = tmp_path / "bucket" / "tiny.tar"
    pack.parent.mkdir()
    own = OWN.format(snakefile=str(site.code / "Snakefile"), pack=str(pack))
    (site.folder / "Snakefile").write_text(own)
    mine = dataclasses.replace(site, snakefile=site.folder / "Snakefile")
    profile = str(site.code / "profiles" / "default")
    assert mine.run("--workflow-profile", profile, "publish") == set()
    open_study(pack, tmp_path / "opened")
    opened = dataclasses.replace(site, folder=tmp_path / "opened")
    assert opened.plan() == set()


def test_results_themselves_must_lie_in_a_folder(site, tmp_path):
    output = site.fail(
        *("--default-storage-provider", "fs", "--default-storage-prefix", str(tmp_path))
    )
    assert "--default-storage-provider is not supported" in output
    assert "put packed studies into object storage" in output
