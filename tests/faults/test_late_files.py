"""A file that another machine has written becomes visible late, or never."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastpipe import files
from fastpipe.errors import UserError
from fastpipe.stages.job import stage_job

pytestmark = pytest.mark.fault(10)

SLOW_SERVER = "import sys, time, os; time.sleep(float(sys.argv[3])); os.rename(*sys.argv[1:3])"


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The record of a result with one file."""
    monkeypatch.chdir(tmp_path)
    with stage_job("one", Path("results/one"), spec={}, identity="1", work=Path("w")) as job:
        job.output("x.bin").write_bytes(b"bytes")
    return Path("results/one/one.json")


def read(upstream: Path) -> bytes:
    """What another stage reads of it."""
    arguments = {"spec": {}, "identity": "2", "work": Path("w"), "reads": [upstream]}
    with stage_job("two", Path("results/two"), **arguments) as job:
        content = job.input(upstream, "x.bin").read_bytes()
        job.output("y.bin").write_bytes(content)
    return content


@pytest.mark.parametrize("name", ["x.bin", "one.json"])
def test_a_stage_waits_for_it(upstream, monkeypatch, capsys, name, tally):
    monkeypatch.setattr(files, "PATIENCE_SECONDS", 60.0)
    file = upstream.with_name(name)
    file.rename("elsewhere")
    slow = subprocess.Popen([sys.executable, "-c", SLOW_SERVER, "elsewhere", file, "0.5"])
    assert read(upstream) == b"bytes"
    assert slow.wait() == 0
    assert f"waiting for results/one/{name} to become visible" in capsys.readouterr().out
    tally.add("late files")


@pytest.mark.parametrize("name", ["x.bin", "one.json"])
def test_patience_is_bounded_and_the_file_named(upstream, monkeypatch, name, tally):
    monkeypatch.setattr(files, "PATIENCE_SECONDS", 0.3)
    upstream.with_name(name).unlink()
    started = time.monotonic()
    with pytest.raises(
        UserError, match=rf"results/one/{name} is missing\..* snakemake again to rebuild it"
    ):
        read(upstream)
    assert time.monotonic() - started >= 0.3
    assert not Path("results/two/two.json").exists()
    tally.add("lost files")


def test_collect_waits_for_all_files_together(disturbed, server, tally):
    """In a fresh process, as the patience of this one's children is the real one."""
    study = disturbed()
    folder = study.folder / study.job("finetune").folder
    (study.folder / study.job("collect").record).unlink()
    aside = folder.with_name("aside")
    folder.rename(aside)
    attempt = server.start(study.folder, [study.job("collect")])
    while "to become visible" not in attempt.said:
        time.sleep(0.02)
        assert attempt.code is None
    aside.rename(folder)
    assert attempt.wait() == 0, attempt.said
    shutil.rmtree(folder)
    (study.folder / study.job("collect").record).unlink()
    attempt = study.run(study.job("collect"))
    assert attempt.code == 1
    assert f"{study.job('finetune').record} is missing" in attempt.said
    tally.add("late files")
