"""`report`: everything a study's folder promises, from the database alone."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fastpipe.errors import UserError
from fastpipe.files import read_json
from fastpipe.integrity import verify
from fastpipe.stages.collect import collect
from fastpipe.stages.report import ReportSpec, report

SPEC = ReportSpec(study="demo")


def make(folder: Path, root: Path, spec: ReportSpec = SPEC) -> Path:
    report(spec, database=folder, out=folder, work=root / ".work", identity="i")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    path = Path(__file__).parents[1] / "reporting" / "synthetic.py"
    spec = importlib.util.spec_from_file_location("synthetic_study_for_report", path)
    synthetic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(synthetic)
    root = tmp_path_factory.mktemp("study") / "results"
    spec = synthetic.write_results(root)
    for name, claims in {"demo": ("A5", "A7", "A9"), "none": (), "wrong": ("Z1",)}.items():
        own = spec.studies[0].model_copy(update={"claims": claims})
        out = root / "studies" / name
        asked = spec.model_copy(update={"studies": (own,)})
        collect(asked, out=out, work=root / ".work", identity="i")
    return root


@pytest.fixture(scope="module")
def study(root) -> Path:
    return make(root / "studies" / "demo", root)


def test_files_and_record(study):
    charts = sorted(path.name for path in (study / "charts").iterdir())
    tables = [name for name in charts if name.endswith(".csv")]
    stems = {name.rsplit(".", 1)[0] for name in charts if name not in tables}
    assert len(stems) == 24
    assert charts == sorted(
        tables + [f"{stem}.{suffix}" for stem in stems for suffix in ("json", "svg", "png")]
    )
    assert {"adp-target-digits", "class-flow-fashion-mnist", "similarity"} <= stems
    assert "class-accuracy-digits.csv" in tables
    outputs = verify(study / "report.json")
    assert set(outputs) == {f"charts/{name}" for name in charts} | {
        "claims.parquet",
        "claims.csv",
        "report.html",
    }
    record = read_json(study / "report.json")
    assert list(record["inputs"]) == [str(study / "study.duckdb")]
    assert record["identity"] == "i"
    assert {"altair", "vl-convert-python"} <= set(record["versions"])


def test_chart_files_and_page_say_the_same(study):
    for path in (study / "charts").glob("*.json"):
        assert json.loads(path.read_text())["width"] == 560
    page = (study / "report.html").read_text()
    assert all(f'data-chart="{p.stem}"' in page for p in (study / "charts").glob("*.svg"))


def test_claims(study):
    rows = pq.read_table(study / "claims.parquet").to_pylist()
    assert {row["claim"] for row in rows} == {"A5", "A7", "A9"}


def test_again_gives_the_same_bytes(study, root):
    before = read_json(study / "report.json")
    make(study, root)
    assert read_json(study / "report.json") == before


def test_only_some_formats_and_no_claims(root):
    out = make(root / "studies" / "none", root, SPEC.model_copy(update={"formats": ("svg",)}))
    assert {path.suffix for path in (out / "charts").iterdir()} == {".svg", ".csv"}
    assert 'id="claims"' not in (out / "report.html").read_text()
    assert pq.read_table(out / "claims.parquet").num_rows == 0
    assert len((out / "claims.csv").read_text().splitlines()) == 1


def test_an_unknown_claim_is_refused_before_anything_is_written(root):
    with pytest.raises(UserError, match="unknown claim Z1"):
        make(root / "studies" / "wrong", root)
    assert not (root / "studies" / "wrong" / "report.html").exists()


def test_a_damaged_database_is_refused(study, root, tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    for name in ("study.duckdb", "collect.json"):
        (folder / name).write_bytes((study / name).read_bytes())
    content = bytearray((folder / "study.duckdb").read_bytes())
    content[9000] ^= 4
    (folder / "study.duckdb").write_bytes(content)
    with pytest.raises(UserError, match=r"study\.duckdb is damaged.*Delete .*collect\.json"):
        make(folder, root)
    assert not (folder / "report.html").exists()


def test_the_stages_module_imports_nothing_heavy():
    code = (
        "import sys, fastpipe.stages.report;"
        "print([m for m in ('torch', 'altair', 'scipy', 'duckdb') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
