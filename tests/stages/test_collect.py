"""`collect`: only what is expected, and only if it is what the configuration asks for."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastpipe.errors import UserError
from fastpipe.files import digest, read_json, write_json
from fastpipe.integrity import verify
from fastpipe.stages.collect import CollectSpec, collect

FAST = "runs/mnist-cnn@3/digits/fast/seeds-0-4"


@pytest.fixture(scope="module")
def synthetic():
    path = Path(__file__).parents[1] / "reporting" / "synthetic.py"
    spec = importlib.util.spec_from_file_location("synthetic_study_for_collect", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Study:
    """A small invented results tree and the means to collect it."""

    def __init__(self, synthetic, root: Path):
        self.synthetic, self.root = synthetic, root
        self.out = root / "studies" / "demo"
        self.spec = synthetic.write_results(root)

    def collect(self, **changes) -> Path:
        collect(
            self.spec.model_copy(update=changes),
            out=self.out,
            work=self.root / ".work",
            identity="i",
        )
        return self.out / "study.duckdb"

    def query(self, sql: str) -> list[tuple]:
        with duckdb.connect(str(self.out / "study.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def study(synthetic, tmp_path, monkeypatch) -> Study:
    monkeypatch.setattr(synthetic, "TARGETS", {"digits": 360})
    monkeypatch.setattr(synthetic, "EPOCHS", (0.0, 3.0))
    return Study(synthetic, tmp_path / "results")


def test_every_table(study):
    study.collect()
    counts = {
        table: study.query(f"SELECT count(*) FROM {table}")[0][0]
        for table in ("studies", "arms", "datasets", "snapshots", "history", "runs", "adp", "flow")
    }
    assert counts["studies"] == 1
    assert counts["arms"] == 6 + 4
    assert counts["datasets"] == counts["snapshots"] == 2
    assert counts["history"] == 1500
    assert counts["runs"] == (6 + 2) * 5
    assert counts["adp"] == counts["runs"] * 13
    assert study.query("SELECT sum(flow) FROM flow WHERE epoch = 3")[0][0] == pytest.approx(
        1, abs=0.05
    )


def test_times_devices_and_facts(study):
    study.collect()
    rows = study.query("SELECT DISTINCT seed, seconds, device, precision FROM runs ORDER BY seed")
    assert rows == [(seed, 4.1 + 0.05 * seed, "cpu", "bf16") for seed in range(5)]
    assert study.query("SELECT dataset, backbone, features FROM snapshots WHERE epoch = 3") == [
        ("mnist", "small-cnn", 64)
    ]
    (row,) = study.query(
        "SELECT classes, train, val, test, card FROM datasets WHERE dataset = 'digits'"
    )
    assert row[:4] == ([str(i) for i in range(10)], 4750, 250, 360)
    assert json.loads(row[4])["dataset"] == "digits"


def test_the_gpu_s_name_memory_and_utilisation(study):
    file = study.root / FAST / "finetune.timing.json"
    told = {"device": "Some GPU", "peak_bytes": 3 * 2**30, "utilisation": 0.75}
    file.write_text(json.dumps(json.loads(file.read_text()) | told))
    study.collect()
    columns = "device_name, peak_bytes, utilisation"
    rows = study.query(f"SELECT {columns}, count(*) FROM runs WHERE peak_bytes > 0 GROUP BY ALL")
    assert rows == [("Some GPU", 3 * 2**30, 0.75, 5)]


def test_without_timings_seconds_are_null(study):
    (study.root / FAST / "finetune.timing.json").unlink()
    study.collect()
    assert study.query("SELECT count(*) FROM runs WHERE seconds IS NULL") == [(5,)]
    nothing = "device_name IS NULL AND peak_bytes IS NULL AND utilisation IS NULL"
    assert study.query(f"SELECT count(*) FROM runs WHERE {nothing} AND seconds IS NULL") == [(5,)]


def test_only_the_seeds_that_are_wanted(study):
    packs = tuple(
        pack.model_copy(update={"seeds": (1, 3)}) if pack.recipe == "fast" else pack
        for pack in study.spec.packs
    )
    study.collect(packs=packs)
    for table in ("runs", "adp", "steps", "validations", "deployments", "forgetting"):
        rows = study.query(f"SELECT DISTINCT seed FROM {table} WHERE recipe = 'fast' ORDER BY seed")
        assert rows == [(1,), (3,)]
    assert study.query("SELECT count(DISTINCT seed) FROM runs WHERE recipe = 'warmup'") == [(5,)]


def test_what_nobody_asked_for_is_not_read(study):
    packs = study.spec.packs[1:]
    (study.root / FAST / "steps.parquet").write_bytes(b"no Parquet")
    records = {r: i for r, i in study.spec.records.items() if FAST not in r}
    assert study.spec.packs[0].path.endswith(FAST)
    study.collect(packs=packs, records=records)
    assert study.query("SELECT count(*) FROM runs WHERE recipe = 'fast' AND epoch = 3") == [(0,)]


def test_the_record_states_the_content(study):
    study.collect()
    first = read_json(study.out / "collect.json")
    assert verify(study.out / "collect.json") == {"study.duckdb": first["outputs"]["study.duckdb"]}
    assert first["inputs"][f"{study.root}/{FAST}/adp.parquet"] == digest(
        study.root / FAST / "adp.parquet"
    )
    study.collect()
    second = read_json(study.out / "collect.json")
    assert second["facts"]["content"] == first["facts"]["content"]
    assert second["inputs"] == first["inputs"]


@pytest.mark.parametrize("state", ["corrupt", "open elsewhere", "with a stale log"])
def test_an_old_database_is_simply_replaced(study, state):
    database = study.collect()
    holder = None
    if state == "corrupt":
        database.write_bytes(b"\0" * 5000)
    elif state == "with a stale log":
        database.with_name("study.duckdb.wal").write_bytes(b"another database's log")
    else:
        script = (
            f"import duckdb, time; c = duckdb.connect({str(database)!r}); "
            "print('open', flush=True); time.sleep(60)"
        )
        holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert holder.stdout.readline().strip() == "open"
    try:
        study.collect()
        assert study.query("SELECT count(*) FROM runs") == [(40,)]
        assert [path.name for path in study.out.glob("study.duckdb*")] == ["study.duckdb"]
    finally:
        if holder:
            holder.kill()
            holder.wait()


class TestRefuses:
    def problems(self, study, **changes) -> str:
        with pytest.raises(UserError) as caught:
            study.collect(**changes)
        assert not (study.out / "study.duckdb").exists()
        return str(caught.value)

    def test_another_identity(self, study):
        record = f"{study.root}/{FAST}/finetune.json"
        text = self.problems(study, records=study.spec.records | {record: "something else"})
        assert "1 result(s) are not what the configuration asks for" in text
        assert f"{record} was made with other settings, inputs or code" in text
        assert f"Delete {record} and run snakemake again" in text

    def test_another_identity_of_what_lies_further_up(self, study):
        record = study.root / "sources/mnist-cnn/epoch-0/pretrain.json"
        write_json(record, read_json(record) | {"identity": "stale"})
        assert f"{record} was made with other settings" in self.problems(study)

    def test_all_at_once(self, study):
        path = study.root / FAST / "adp.parquet"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        (study.root / FAST / "steps.parquet").unlink()
        (study.root / "datasets/digits/prepare-val.json").write_text("{")
        text = self.problems(study)
        assert "3 result(s)" in text
        assert f"{path} is damaged" in text
        assert f"{study.root / FAST / 'steps.parquet'} is missing" in text
        assert "prepare-val.json is damaged" in text

    def test_many_are_cut(self, study):
        text = self.problems(study, records=dict.fromkeys(study.spec.records, "no"))
        assert text.count("\n") == 21
        assert f"… and {len(study.spec.records) - 20} more" in text

    def test_a_pack_without_a_wanted_seed(self, study):
        folder = study.root / FAST
        rows = pq.read_table(folder / "runs.parquet")
        pq.write_table(rows.filter(pa.compute.field("seed") != 3), folder / "runs.parquet")
        record = read_json(folder / "finetune.json")
        record["outputs"]["runs.parquet"] = digest(folder / "runs.parquet")
        write_json(folder / "finetune.json", record)
        assert "has no run with seed 3. Delete that folder" in self.problems(study)

    def test_one_label_for_two_recipes(self, study):
        arms = [arm.model_copy(update={"arm": "same"}) for arm in study.spec.arms]
        with pytest.raises(ValueError, match="arm same stands for fast and for baseline"):
            study.collect(arms=tuple(arms))


def test_a_failed_collection_leaves_the_old_database(study):
    study.collect()
    before = digest(study.out / "study.duckdb")
    with pytest.raises(UserError):
        study.collect(records=dict.fromkeys(study.spec.records, "no"))
    assert verify(study.out / "collect.json") == {"study.duckdb": before}


def test_the_spec_is_strict():
    with pytest.raises(ValueError, match="packs"):
        CollectSpec.model_validate_json('{"study": "s", "title": "t", "arms": [], "records": {}}')


def test_collect_imports_nothing_heavy():
    code = (
        "import sys, fastpipe.stages.collect;"
        "print([m for m in ('torch', 'altair', 'scipy', 'vl_convert') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_results_that_do_not_fit_together_are_refused(study):
    record = study.root / FAST / "deploy.json"
    steps = str(study.root / FAST / "steps.parquet")
    write_json(record, read_json(record) | {"inputs": {steps: digest(Path(steps))}})
    study.collect()
    write_json(record, read_json(record) | {"inputs": {steps: "0" * 64}})
    with pytest.raises(UserError, match=f"{record} was made from another {steps} than there is"):
        study.collect()
