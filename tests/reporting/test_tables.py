"""What is in `study.duckdb`: derived columns, views and macros, against slow references."""

import subprocess
import sys
from collections import defaultdict

import duckdb
import numpy as np
import pytest
from scipy import stats

from fastpipe.evaluation.anytime import adp_auc
from fastpipe.reporting.database.build import TABLES
from fastpipe.reporting.tables import Tables

IDENTITY = ("source", "epoch", "target", "recipe", "seed")


def by_run(rows):
    runs = defaultdict(list)
    for row in rows:
        runs[tuple(row[name] for name in IDENTITY)].append(row)
    return runs


def test_adp_auc_is_the_evaluation_packages(tables):
    scores = by_run(tables.rows("FROM adp ORDER BY step"))
    runs = tables.rows("FROM runs")
    assert len(runs) == 90
    for run in runs:
        own = scores[tuple(run[name] for name in IDENTITY)]
        expected = adp_auc([row["step"] for row in own], [row["top1"] for row in own])
        assert run["adp_auc"] == pytest.approx(expected, rel=1e-12)
        assert run["final_top1"] == own[-1]["top1"]


def test_final_forgotten_is_that_of_the_last_checkpoint(tables):
    lost = by_run(tables.rows("FROM forgetting ORDER BY step"))
    for run in tables.rows("FROM runs"):
        assert run["final_forgotten"] == lost[tuple(run[n] for n in IDENTITY)][-1]["forgotten"]


def test_t_quantiles(tables):
    for df in [*range(1, 60), 100, 1000]:
        (row,) = tables.rows(f"SELECT t975({df}) AS t")
        assert row["t"] == pytest.approx(stats.t.ppf(0.975, df), abs=1e-5)


def test_half_width_against_scipy(tables):
    values = [0.1, 0.5, 0.45, 0.7]
    (row,) = tables.rows(
        f"SELECT half_width95(x) AS h, avg(x) AS m FROM (SELECT unnest({values}) x)"
    )
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (row["m"] - row["h"], row["m"] + row["h"]) == pytest.approx((low, high))
    assert tables.rows("SELECT half_width95(x) AS h FROM (SELECT 1.0 AS x)") == [{"h": None}]


def test_bands_are_means_over_seeds(tables):
    rows = tables.rows(
        "SELECT top1 FROM adp WHERE recipe = 'fast' AND epoch = 3 AND target = 'digits' "
        "AND step = 13"
    )
    (band,) = tables.rows("FROM adp_bands WHERE arm = 'FAST' AND target = 'digits' AND step = 13")
    assert band["seeds"] == len(rows) == 5
    assert band["mean"] == pytest.approx(np.mean([row["top1"] for row in rows]))


def test_arms_are_compared_at_the_last_snapshot_and_scratch_joins(tables):
    rows = tables.rows(
        "SELECT DISTINCT target, arm, epoch FROM comparison ORDER BY target, position"
    )
    labels = [
        "FAST",
        "Baseline 0.05",
        "Baseline 0.01",
        "Warm-up",
        "Feature extraction",
        "From scratch",
    ]
    assert [(r["target"], r["arm"]) for r in rows] == [
        (target, label) for target in ("digits", "fashion-mnist") for label in labels
    ]
    assert {r["epoch"] for r in rows if r["arm"] == "From scratch"} == {0}
    assert {r["epoch"] for r in rows if r["arm"] != "From scratch"} == {3}


def test_a_run_that_two_arms_share_appears_once(tables):
    (row,) = tables.rows(
        "SELECT count(*) AS n FROM comparison WHERE recipe = 'fast' AND target = 'digits'"
    )
    assert row["n"] == 5


def test_recipes_are_followed_over_epochs_under_their_label(tables):
    rows = tables.rows(
        "SELECT arm, count(DISTINCT epoch) AS epochs FROM over_pretraining "
        "WHERE target = 'digits' GROUP BY arm ORDER BY epochs DESC, arm LIMIT 3"
    )
    assert rows == [
        {"arm": "Baseline 0.05", "epochs": 4},
        {"arm": "FAST", "epochs": 4},
        {"arm": "Baseline 0.01", "epochs": 1},
    ]


def test_scratch_has_nothing_to_forget(tables):
    rows = tables.rows("SELECT arm, forgotten FROM final_table WHERE target = 'digits'")
    assert {r["arm"] for r in rows if r["forgotten"] is None} == {"From scratch"}
    assert tables.rows("FROM retention_bands WHERE role = 'scratch'") == []


def test_columns_with_a_unit_say_it(collected):
    with duckdb.connect(str(collected), read_only=True) as connection:
        columns = connection.sql(
            "SELECT table_name, column_name, comment FROM duckdb_columns() "
            "WHERE NOT internal AND schema_name = 'main'"
        ).fetchall()
    comments = {(table, column): comment for table, column, comment in columns}
    assert {table for table, _ in comments} >= set(TABLES)
    for table, column in comments:
        if table in TABLES and column in (
            "top1",
            "seconds",
            "loss",
            "step",
            "head_norm",
            "adp_auc",
        ):
            assert comments[table, column], (table, column)


def test_not_finite_numbers_are_none(altered):
    tables = altered("UPDATE steps SET loss = 'nan'", "UPDATE steps SET head_norm = 'inf'")
    (row,) = tables.rows("SELECT loss, head_norm FROM steps LIMIT 1")
    assert row == {"loss": None, "head_norm": None}


def test_reads_a_study_that_is_open_for_writing(collected, tmp_path):
    script = (
        f"import duckdb, time; c = duckdb.connect({str(collected)!r}); "
        "print('open', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline().strip() == "open"
        with pytest.raises(duckdb.IOException):
            duckdb.connect(str(collected), read_only=True)
        with Tables(collected, tmp_path) as tables:
            assert len(tables.rows("FROM runs")) == 90
    finally:
        holder.kill()
        holder.wait()
