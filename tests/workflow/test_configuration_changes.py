"""Change one thing in the configuration, and only what depends on it runs again."""

import duckdb
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.workflow


def test_beta_of_one_recipe_reruns_its_runs_alone(site):
    before = site.bytes()
    site.configure({"recipes": {"quick": {"beta": 0.02}}})
    assert site.run() == site.jobs("quick") | site.summary()
    assert site.plan() == set()
    after = site.bytes()
    changed = {name for name in before if before[name] != after[name]}
    assert {name.rpartition("/")[0] for name in changed} <= {
        f"runs/net@1/pictures/quick/seeds-0-1{below}" for below in ("", "/states")
    } | {f"studies/tiny{below}" for below in ("", "/charts")}
    assert "runs/net@1/pictures/quick/seeds-0-1/adp.parquet" in changed


def test_swapped_values_of_alpha_and_beta_are_noticed(site):
    site.configure({"recipes": {"quick": {"alpha": 0.01, "beta": 0.1}}})
    assert site.plan() == site.jobs("quick") | site.summary()


def test_configfile_overrides(site):
    file = site.folder / "meine Änderung.yaml"
    file.write_text("recipes: {plain: {steps: 9}}")
    assert site.plan("--configfile", str(file)) == site.jobs("plain") | site.summary()


def test_a_value_written_otherwise_is_the_same_value(site):
    site.configure({"recipes": {"quick": {"alpha": 1e-1, "momentum": 0.90}}})
    assert site.plan() == set()


def test_more_seeds_are_new_packs_only(site):
    site.configure({"studies": {"tiny": {"arms": {"fast": {"seeds": 3}}}}})
    assert site.plan() == site.jobs("quick", seeds="seeds-2-3") | site.summary()


def test_fewer_seeds_train_nothing(site):
    site.configure({"studies": {"tiny": {"seeds": 1}}})
    assert site.plan() == site.summary()


def test_an_arm_more_is_its_own_runs(site):
    arm = {"recipe": "quick", "snapshots": ["net@last"], "targets": ["pictures"]}
    arm["overrides"] = {"beta": [0.01, 0.02]}
    site.configure({"studies": {"tiny": {"arms": {"sweep": arm}}}})
    assert site.plan() == site.jobs("quick+beta=0.02") | site.summary()


def test_a_study_shares_the_runs_of_another(site):
    arm = {"recipe": "quick", "snapshots": ["net@last"], "targets": ["pictures"], "seeds": 2}
    site.configure({"studies": {"two": {"title": "Two", "arms": {"fast": arm}}}})
    assert site.plan("tiny", "two") == site.summary("two")


def test_two_studies_compute_shared_runs_once(site):
    arm = {"recipe": "quick", "snapshots": ["net@last"], "targets": ["pictures"], "seeds": 2}
    site.configure({"studies": {"two": {"title": "Two", "arms": {"fast": arm}}}})
    site.path().rename(site.folder / "old results")
    both = site.plan("tiny", "two")
    assert both == site.plan("tiny") | site.summary("two")
    assert both > site.plan("two")


def test_a_snapshot_more_trains_no_run_on_the_others(site):
    before = site.bytes("runs") | site.bytes("features") | site.bytes("sources")
    site.configure({"sources": {"net": {"snapshots": [0, 0.5, 0.75, 1]}}})
    assert site.run() == {"pretrain sources/net/epoch-0.75"} | site.summary()
    assert site.plan() == set()
    after = site.bytes("runs") | site.bytes("features") | site.bytes("sources")
    assert {name: after[name] for name in before} == before
    assert any("epoch-0.75" in name for name in after)


def test_a_longer_source_trains_no_run_on_the_others(site):
    arms = {name: {"snapshots": ["net@1"]} for name in ("fast", "baseline", "warmup")}
    longer = {"snapshots": [0, 0.5, 1, 2], "epochs": 2}
    site.configure({"sources": {"net": longer}, "studies": {"tiny": {"arms": arms}}})
    assert site.plan() == set()


def test_other_test_images_retrain_nothing(site):
    site.configure({"datasets": {"own": {"test_per_class": 5}}})
    prepared = {"prepare datasets/own"}
    scored = {job for name in ("quick", "plain", "warm") for job in site.jobs(name, "forgetting")}
    assert site.plan() == prepared | scored | site.summary()
    assert site.run("results/datasets/own/card.json") == prepared
    assert site.plan() == scored | site.summary()


def test_gamma_is_about_similarity(site):
    site.configure({"settings": {"gamma": 0.02}})
    assert site.plan() == {"similarity similarity/net@1/pictures"} | site.summary()


def test_another_sample_for_scores_retrains_nothing(site):
    before = site.bytes("runs") | site.bytes("sources")
    own = site.path("features/net@1/own/means.safetensors").read_bytes()
    site.configure({"settings": {"score_images_per_class": 5}})
    seen = {f"features features/net@1/{name}" for name in ("own", "pictures")}
    compared = {f"{stage} similarity/net@1/pictures" for stage in ("similarity", "scores")}
    assert site.run() == seen | compared | site.summary()
    assert site.bytes("runs") | site.bytes("sources") == before
    assert site.path("features/net@1/own/means.safetensors").read_bytes() == own
    rows = pq.read_table(site.path("similarity/net@1/pictures/scores.parquet")).to_pylist()
    assert [row["images"] for row in rows] == [4 * 5] * 8
    assert site.plan() == set()


def test_an_extractor_is_one_more_view(site):
    site.configure({"studies": {"tiny": {"extractors": ["net@0"]}}})
    seen = {f"features features/net@0/{name}" for name in ("own", "pictures")}
    assert site.run() == seen | {"similarity similarity/net@1/pictures/net@0"} | site.summary()
    with duckdb.connect(str(site.path("studies/tiny/study.duckdb")), read_only=True) as database:
        rows = database.sql(
            "SELECT extractor, s.distance IS NOT DISTINCT FROM e.distance, s.source FROM "
            "extractor_similarity e LEFT JOIN similarity s USING (source, epoch, target) ORDER BY 1"
        ).fetchall()
        scores = database.sql("SELECT count(*) FROM scores WHERE seconds > 0").fetchall()
    assert rows == [("net@0", False, "net"), ("net@1", True, "net")]
    assert scores == [(8,)]
    assert site.plan() == set()


def test_words_of_a_study_change_its_report(site):
    site.configure({"studies": {"tiny": {"title": "Ein Titel; $(touch x) 'ü\" {wildcards}"}}})
    assert site.plan() == site.summary()


def test_claims_are_about_the_database_and_the_report(site):
    site.configure({"studies": {"tiny": {"claims": ["A7"]}}})
    assert site.plan() == {"collect studies/tiny", "report studies/tiny"}


def test_a_file_that_no_study_asks_for_follows_its_declaration_too(site):
    """Of such a job the audit knows nothing; it runs again for its parameters."""
    spare = {"dataset": "own", "backbone": {"name": "small-cnn", "widths": [4]}}
    spare |= {"epochs": 1, "snapshots": [0], "batch_size": 20}
    site.configure({"sources": {"spare": spare}})
    file, job = "results/sources/spare/epoch-0/pretrain.json", "pretrain sources/spare/epoch-0"
    assert site.run("--", file) == {job}
    assert site.plan("--", file) == set()
    site.configure({"sources": {"spare": spare | {"lr": 0.01}}})
    assert site.plan("--", file) == {job}
