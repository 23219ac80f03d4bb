"""A `study.duckdb` that is open elsewhere, corrupt or of another version is made again from the
Parquet files and swapped at once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fastpipe.files import digest
from fastpipe.integrity import read_record, sealed, verify

pytestmark = pytest.mark.fault(15)

HOLD = """
import duckdb, sys
database = duckdb.connect(sys.argv[1])
database.execute("CREATE TABLE mine (x INTEGER)")
print("open", flush=True)
sys.stdin.read()
"""


def content(study: Any) -> dict[str, str]:
    return read_record(study.folder / study.job("collect").record)["facts"]["content"]


def runs(database: Path) -> int:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute("SELECT count(*) FROM runs").fetchone()[0]


def newer(database: bytes) -> bytes:
    """The storage version stands behind the checksum and the magic bytes."""
    assert database[8:12] == b"DUCK"
    return database[:12] + (9999).to_bytes(8, "little") + database[20:]


@pytest.mark.parametrize(
    "damage",
    [lambda old: b"", lambda old: os.urandom(len(old)), lambda old: old[: len(old) // 2], newer],
    ids=["empty", "garbage", "half", "another version"],
)
def test_a_corrupt_database_is_made_again(disturbed, damage):
    study = disturbed()
    database, wanted = study.folder / "results/studies/tiny/study.duckdb", content(study)
    database.write_bytes(damage(database.read_bytes()))
    attempt = study.run(study.job("collect"))
    assert attempt.code == 0, attempt.said
    assert runs(database) == 2
    assert content(study) == wanted
    assert verify(study.folder / study.job("collect").record)


def test_a_database_that_someone_writes_to_is_replaced_and_they_keep_theirs(disturbed):
    study = disturbed()
    database = study.folder / "results/studies/tiny/study.duckdb"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"open\n"
    with pytest.raises(duckdb.Error, match="lock"):
        runs(database)
    before = database.stat().st_ino
    (study.folder / study.job("collect").record).unlink()
    attempt = study.run(study.job("collect"), study.job("report"))
    holder.stdin.close()
    assert holder.wait() == 0
    assert attempt.code == 0, attempt.said
    assert database.stat().st_ino != before
    assert not database.with_name("study.duckdb.wal").exists()
    with duckdb.connect(str(database), read_only=True) as connection:
        names = [name for (name,) in connection.execute("SHOW TABLES").fetchall()]
    assert "mine" not in names and runs(database) == 2


def test_a_reader_keeps_the_old_one(disturbed):
    study = disturbed()
    database = study.folder / "results/studies/tiny/study.duckdb"
    with duckdb.connect(str(database), read_only=True) as reader:
        (study.folder / study.job("collect").record).unlink()
        assert study.run(study.job("collect")).code == 0
        assert reader.execute("SELECT count(*) FROM adp").fetchone()[0] > 0
    assert runs(database) == 2


def test_a_database_of_another_version_with_a_record_is_refused_by_the_report(disturbed):
    study = disturbed()
    database, record = (study.folder / "results/studies/tiny" / n for n in
                        ("study.duckdb", "collect.json"))  # fmt: skip
    database.write_bytes(newer(database.read_bytes()))
    vouched = read_record(record)
    vouched["outputs"]["study.duckdb"] = digest(database)
    record.write_text(json.dumps(sealed(vouched)))
    (study.folder / study.job("report").record).unlink()
    attempt = study.run(study.job("report"))
    assert attempt.code == 1
    assert "Traceback" not in attempt.said
    told = f"error: DuckDB {duckdb.__version__} cannot open results/studies/tiny/study.duckdb: "
    assert told in attempt.said
    assert "Delete it and run snakemake again to rebuild it." in attempt.said
    database.unlink()
    assert study.run().code == 0
