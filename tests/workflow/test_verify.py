"""`fastpipe verify` finds damage, and its commands mend it; damaged databases mend themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow


def shell(site, command: str) -> subprocess.CompletedProcess:
    programs = str(Path(sys.executable).parent)
    return subprocess.run(
        ["bash", "-c", command],
        cwd=site.folder,
        env=site.environment
        | {"PYTHONPATH": str(site.code), "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


@pytest.mark.fault(12)
def test_each_command_mends_what_it_is_told_for(site):
    before = site.bytes("runs") | site.bytes("features")
    whole = shell(site, "fastpipe verify")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert (
        " Results damaged: 0, stale: 0. Files that no configuration asks for: 0. " in whole.stdout
    )
    files = [
        next(site.pack("quick", "states").glob("*.safetensors")),
        site.path("features/net@1/own/means.safetensors"),
    ]
    for file in files:
        flip_a_bit(file)
    found = shell(site, "fastpipe verify tiny")
    assert found.returncode == 1
    for file in files:
        assert f"{file.relative_to(site.folder)} is damaged" in found.stdout
    refused = site.fail()
    for record in ("runs/net@1/pictures/quick/seeds-0-1/finetune", "features/net@1/own/features"):
        assert f"Delete results/{record}.json and run snakemake again" in refused
        assert f"  rm results/{record}.json && snakemake " in found.stdout
    lines = [line.strip() for line in found.stdout.splitlines() if "&& snakemake" in line]
    assert len(lines) == 3  # and all of it at once
    for line in lines[:2]:
        done = shell(site, line)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert site.bytes("runs") | site.bytes("features") == before
    assert shell(site, "fastpipe verify tiny").returncode == 0


@pytest.mark.fault(12, 13, 15)
def test_a_damaged_database_and_report_are_made_again_by_themselves(site):
    database, page = (site.path("studies/tiny", n) for n in ("study.duckdb", "report.html"))
    flip_a_bit(database)
    os.truncate(page, 100)
    planned = site.snakemake("--dry-run")
    for file in (database, page):
        told = f"{file.relative_to(site.folder)} is damaged: its bytes are not those its record"
        assert f"{told} vouches for. It is made again." in planned.stdout
    assert site.run() == site.summary()
    assert page.stat().st_size > 1000
    assert site.plan() == set()
    assert shell(site, "fastpipe verify tiny").returncode == 0


def test_prune_lists_and_removes_what_is_asked_for_no_more(site):
    site.configure({"studies": {"tiny": {"arms": {"warmup": {"snapshots": ["net@0"]}}}}})
    warm = [site.pack("warm", f"{s}.json") for s in ("finetune", "deploy", "forgetting")]
    before = site.bytes()
    listed = shell(site, "fastpipe prune < /dev/null")
    assert listed.returncode == 0, listed.stderr
    for record in warm:
        assert f" bytes  {record.relative_to(site.folder)}\n" in listed.stdout
    assert "Nothing has been removed; fastpipe prune --yes does so." in listed.stdout
    assert site.bytes() == before
    assert shell(site, "fastpipe prune --yes").returncode == 0
    gone = str(site.pack("warm").relative_to(site.path()))
    assert site.bytes() == {n: content for n, content in before.items() if not n.startswith(gone)}
    assert not site.pack("warm").exists()
    assert "To be removed: 0 files, 0 bytes." in shell(site, "fastpipe prune").stdout
