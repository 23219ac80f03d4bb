"""Damage, refusal and disaster at run time: a clear error, nothing half-written."""

import contextlib
import json
import pickle
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from fastpipe.files import digest
from fastpipe.integrity import read_record, sealed

pytestmark = pytest.mark.workflow

WEIGHTS = "sources/net/epoch-1/weights.safetensors"


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def stamps(site) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every result."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in site.path().rglob("*")
        if path.is_file() and ".work" not in path.parts and not path.name.endswith(".seen")
    }


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("name", "record"),
    [
        (WEIGHTS, "sources/net/epoch-1/pretrain.json"),
        ("runs/net@1/pictures/quick/seeds-0-1/adp.parquet", "deploy.json"),
        ("datasets/pictures/train-images.npy", "prepare-train.json"),
    ],
)
def test_a_flipped_bit_is_found_by_running_snakemake(site, name, record):
    flip_a_bit(site.path(name))
    before = stamps(site)
    output = site.fail()
    assert f"results/{name} is damaged" in output
    assert f"{Path(record).name} and run snakemake again to rebuild it" in output
    assert stamps(site) == before


@pytest.mark.fault(12)
def test_a_state_damaged_before_it_is_deployed(site):
    state = next(site.pack("quick", "states").glob("*.safetensors"))
    for name in ("adp.parquet", "deploy.json"):
        site.pack("quick", name).unlink()
    flip_a_bit(state)
    before = stamps(site)
    assert f"{state.relative_to(site.folder)} is damaged" in site.fail()
    assert stamps(site) == before


@pytest.mark.fault(12)
def test_all_damage_is_named_and_the_remedy_works(site):
    intact = site.bytes("runs")
    records = [site.pack(recipe, "finetune.json") for recipe in ("quick", "plain")]
    tables = [site.pack(recipe, "steps.parquet") for recipe in ("quick", "plain")]
    for table in tables:
        flip_a_bit(table)
    output = site.fail()
    for table, record in zip(tables, records, strict=True):
        assert f"{table.relative_to(site.folder)} is damaged" in output
        assert f"Delete {record.relative_to(site.folder)}" in output
        record.unlink()
    finetuned = site.jobs("quick", "finetune") | site.jobs("plain", "finetune")
    assert site.run(*map(str, (r.relative_to(site.folder) for r in records))) == finetuned
    assert site.bytes("runs") == intact
    assert site.plan() == set()


@pytest.mark.fault(13)
@pytest.mark.parametrize("content", [b"", b'{"identity": "', b"[]", b"\xff\xfe"])
def test_a_damaged_record(site, content):
    site.pack("quick", "finetune.json").write_bytes(content)
    output = site.fail()
    record = "results/runs/net@1/pictures/quick/seeds-0-1/finetune.json"
    assert f"{record} is damaged" in output
    assert "run snakemake again to rebuild it" in output


def test_files_that_have_not_changed_are_not_read_again(site):
    site.plan()
    weights = site.path(WEIGHTS)
    weights.chmod(0o644)  # a change of its status, no more
    assert site.plan() == set()
    seen = weights.with_name(".pretrain.seen")
    before = seen.stat().st_mtime_ns
    assert site.plan() == set()
    assert seen.stat().st_mtime_ns == before


class Payload:
    """Leaves a trace if anyone unpickles it."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.fault(28)
def test_a_pickled_checkpoint_is_refused(site):
    trace = site.folder / "executed"
    forge(site, pickle.dumps(Payload(trace)))
    output = site.fail("results/runs/net@1/pictures/quick/seeds-0-1/finetune.json")
    assert f"results/{WEIGHTS}" in output
    assert "pickle" in output
    assert not trace.exists()
    assert not site.pack("quick", "finetune.json").exists()


def forge(site, content: bytes) -> None:
    """Put other weights under the snapshot's name, with a record that vouches for them."""
    weights, record = site.path(WEIGHTS), site.path("sources/net/epoch-1/pretrain.json")
    weights.write_bytes(content)
    vouched = read_record(record)
    vouched["outputs"][weights.name] = digest(weights)
    record.write_text(json.dumps(sealed(vouched)))


def test_weights_replaced_by_others_make_everything_behind_them_run(site):
    forge(site, site.path("sources/net/epoch-0.5/weights.safetensors").read_bytes())
    behind = {job for recipe in ("quick", "plain", "warm") for job in site.jobs(recipe)}
    behind |= {f"features features/net@1/{name}" for name in ("own", "pictures")}
    behind |= {f"{stage} similarity/net@1/pictures" for stage in ("similarity", "scores")}
    assert site.plan() == behind | site.summary()


@pytest.mark.fault(23)
def test_a_diverged_run_is_recorded_and_the_rest_completes(site):
    arm = {"recipe": "plain", "snapshots": ["net@last"], "targets": ["pictures"]}
    arm["overrides"] = {"alpha": 1e30, "beta": 1e30}
    site.configure({"studies": {"tiny": {"arms": {"wild": arm}}}})
    assert site.run() == site.jobs("plain+alpha=1e+30+beta=1e+30") | site.summary()
    with duckdb.connect(str(site.path("studies/tiny/study.duckdb")), read_only=True) as database:
        found = database.execute("SELECT recipe, status, diverged_step FROM runs").fetchall()
    wild = [row for row in found if row[0].startswith("plain+")]
    assert [status for _, status, _ in wild] == ["diverged"] * 2
    assert all(1 <= step <= 10 for _, _, step in wild)
    assert {status for recipe, status, _ in found if "+" not in recipe} == {"ok"}
    assert "diverged" in site.path("studies/tiny/report.html").read_text()


@contextlib.contextmanager
def disk(folder: Path, room_kib: int) -> Iterator[None]:
    """A small disk in a folder's place, with what it holds and some room."""
    aside = folder.rename(folder.with_name("aside"))
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "fastpipe-test", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        resize(folder, shutil.disk_usage(folder).used // 1024 + room_kib)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def resize(disk: Path, kib: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kib}k", disk], check=True)


@pytest.mark.fault(11)
@pytest.mark.parametrize("room_kib", [0, 16])
def test_no_space_left(site, room_kib):
    site.configure({"recipes": {"quick": {"steps": 300}}})
    before = site.bytes()
    record = "results/runs/net@1/pictures/quick/seeds-0-1/finetune.json"
    with disk(site.path(), room_kib):
        output = site.fail(record)
        assert "no space left on the device while writing results/" in output
        assert "Free some space and run snakemake again." in output
        left = site.bytes()
        assert left == {name: before[name] for name in left}
        assert (len(left) == len(before)) == (room_kib == 0)  # not even the audit's mark
        resize(site.path(), 100_000)
        assert site.run(record) == site.jobs("quick", "finetune")
