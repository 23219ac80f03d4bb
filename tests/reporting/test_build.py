"""Building a study's database."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import balanced_accuracy_score

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


def confusions(labels, predicted, seed: int = 0) -> list[dict]:
    pairs = Counter(zip(labels, predicted, strict=True))
    return [
        RUN | {"seed": seed, "label": label, "predicted": guess, "images": images}
        for (label, guess), images in pairs.items()
    ]


def test_balanced_accuracy_is_scikit_learns(tmp_path):
    random = np.random.default_rng(3)
    labels = random.choice(6, size=200, p=[0.6, 0.2, 0.1, 0.05, 0.05, 0]).tolist()
    guesses = [random.choice([label, (label + seed) % 6], size=1)[0].item()
               for seed in (1, 2) for label in labels]  # fmt: skip
    never = [0] * 200  # classes that are never recognised count as 0, a class without images not
    runs = (guesses[:200], guesses[200:], never)
    with StudyDatabase(tmp_path / "x.duckdb") as database:
        database.insert(
            "confusion",
            [row for seed, run in enumerate(runs) for row in confusions(labels, run, seed)],
        )
        database.finish(staged(0, 1, 2, 3))
        query = "SELECT balanced_accuracy FROM runs ORDER BY seed"
        found = [row[0] for row in database._connection.sql(query).fetchall()]
    assert found[:3] == pytest.approx([balanced_accuracy_score(labels, run) for run in runs])
    assert found[0] != found[1] and found[2] == pytest.approx(0.2) and found[3] is None


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
