"""Datasets and sources shared between working folders, through Snakemake's own cache."""

import shutil

import pytest

pytestmark = pytest.mark.workflow

SNAPSHOT = "results/sources/net/epoch-0/pretrain.json"


@pytest.fixture
def folders(built, elsewhere, tmp_path, monkeypatch):
    """Two working folders with the same configuration and images, and a cache between them."""
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(tmp_path / "cache"))
    other = type(elsewhere)(tmp_path / "another", elsewhere.code)
    for site in (elsewhere, other):
        shutil.copytree(built.folder / "config", site.folder / "config")
        shutil.copytree(built.folder / "images", site.folder / "images")
    return elsewhere, other


def test_a_second_folder_takes_dataset_and_snapshot_from_the_cache(folders, built):
    one, two = folders
    cached = ("--cache", "prepare", "pretrain", "--", SNAPSHOT)
    assert one.run(*cached) == {"prepare datasets/own", "pretrain sources/net/epoch-0"}
    assert two.run(*cached) == set()  # no stage has run
    for name in ("sources/net/epoch-0", "datasets/own"):
        expected = {
            name: text
            for name, text in built.bytes(name).items()
            if not name.endswith(".timing.json")
        }
        assert two.bytes(name) == one.bytes(name) == expected
    assert two.plan("--", SNAPSHOT) == set()
    two.configure({"sources": {"net": {"lr": 0.01}}})
    assert two.plan(*cached) == {"pretrain sources/net/epoch-0"}
    assert two.run(*cached) == {"pretrain sources/net/epoch-0"}
    assert two.plan("--", SNAPSHOT) == one.plan("--", SNAPSHOT) == set()
    assert one.bytes("sources") == {
        name: text for name, text in built.bytes("sources").items() if "epoch-0/" in name
    }


def test_a_cache_that_is_not_there_is_told_before_anything_runs(folders, monkeypatch):
    one, _ = folders
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", "kein Cache")
    told = "SNAKEMAKE_OUTPUT_CACHE names kein Cache, which is no folder. Make it (mkdir -p)"
    assert told in one.fail("--cache", "prepare", "pretrain", "--", SNAPSHOT)
    assert not one.path().exists()
