"""Building a study's database."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastpipe.reporting.database.build import TABLES, StudyDatabase, read_columns

RUN = {"source": "s", "epoch": 3.0, "target": "t", "recipe": "r"}


def staged(*seeds: int) -> pa.Table:
    return pa.Table.from_pylist([RUN | {"seed": seed, "status": "ok"} for seed in seeds])


def adp(scores: dict[int, float], seed: int = 0) -> list[dict]:
    return [RUN | {"seed": seed, "step": step, "top1": top1} for step, top1 in scores.items()]


def aucs(tmp_path, rows: list[dict], *seeds: int) -> list[float | None]:
    with StudyDatabase(tmp_path / "x.duckdb") as database:
        database.insert("adp", rows)
        database.finish(staged(*seeds))
        return [r[0] for r in database._connection.sql("SELECT adp_auc FROM runs").fetchall()]


def test_adp_auc_by_hand(tmp_path):
    # trapezoids over ln 2 (0.3), ln 2 (0.5); step 0 is left out
    assert aucs(tmp_path, adp({0: 0.9, 1: 0.2, 2: 0.4, 4: 0.6}), 0) == [pytest.approx(0.4)]


def test_adp_auc_of_one_step(tmp_path):
    assert aucs(tmp_path, adp({0: 0.9, 1: 0.2}), 0) == [0.2]


def test_adp_auc_that_cannot_be_told_is_null(tmp_path):
    rows = adp({0: 0.9, 2: 0.4, 3: 0.5}) + adp({1: 0.4, 2: None}, seed=1)
    assert aucs(tmp_path, rows, 0, 1, 2) == [None, None, None]


def test_content_is_the_same_where_bytes_are_not(tmp_path):
    contents = []
    for name in ("a", "b"):
        with StudyDatabase(tmp_path / name) as database:
            database.insert("adp", adp({0: 0.1, 1: 0.2}))
            database.finish(staged(0))
            contents.append(database.content())
    assert contents[0] == contents[1]
    assert set(contents[0]) == set(TABLES)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()
    with StudyDatabase(tmp_path / "c") as database:
        database.insert("adp", adp({0: 0.1, 1: 0.3}))
        database.finish(staged(0))
        changed = database.content()
    assert {t for t in TABLES if changed[t] != contents[0][t]} == {"adp", "runs"}


def test_an_unknown_column_is_refused(tmp_path):
    with StudyDatabase(tmp_path / "x") as database:
        for rows in ([{"stepp": 1}], pa.table({"stepp": [1]})):
            with pytest.raises(ValueError, match="table adp has no column stepp"):
                database.insert("adp", rows)


def test_read_columns(tmp_path):
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"seed": [0, 1, 2], "step": [5, 6, 7], "other": [1, 1, 1]}), path)
    assert read_columns(path, ["seed", "step", "absent"], [2, 0]).to_pydict() == {
        "seed": [0, 2],
        "step": [5, 7],
    }
    assert len(read_columns(path, ["step"])) == 3
