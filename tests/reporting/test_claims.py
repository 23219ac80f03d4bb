"""Claims on an invented study whose answer is known, then with arms swapped or made equal."""

from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from fastpipe.reporting.claims.files import write_claims
from fastpipe.reporting.claims.registry import CLAIMS
from fastpipe.reporting.claims.verdicts import chosen_claims, judge_claims

SWAP_VALUES = """
    UPDATE {table} SET recipe = CASE recipe WHEN '{a}' THEN '{b}' WHEN '{b}' THEN '{a}'
    ELSE recipe END
"""
SWAP_ROLES = """
    UPDATE arms SET role = CASE role WHEN 'fast' THEN 'baseline' WHEN 'baseline' THEN 'fast'
    ELSE role END
"""
ONE_BASELINE = "DELETE FROM arms WHERE recipe = 'baseline+alpha=0.01'"


def verdict(tables, claim: str) -> str:
    (found,) = judge_claims(tables, chosen_claims([claim]))
    return found.verdict


@pytest.mark.parametrize("claim", ["A5", "A7", "A9"])
def test_supported_on_both_targets(tables, claim):
    (found,) = judge_claims(tables, chosen_claims([claim]))
    assert found.verdict == "supported"
    assert [setting.target for setting in found.settings] == ["digits", "fashion-mnist"]
    contrasts = {one.name for own in found.contrasts.values() for one in own}
    assert len(contrasts) == (1 if claim == "A5" else 2)
    assert all(one.estimate.pairs == 5 for own in found.contrasts.values() for one in own)


@pytest.mark.parametrize("claim", ["A7", "A9"])
def test_swapped_arms_contradict(altered, claim):
    assert verdict(altered(SWAP_ROLES), claim) == "contradicted"


@pytest.mark.fault(23)
@pytest.mark.parametrize("claim", ["A7", "A9"])
def test_diverged_runs_count(altered, claim):
    """What a run deploys after it has diverged is compared like any other's; none is left out."""
    told = "UPDATE runs SET status = 'diverged', diverged_step = 7 WHERE seed < 2"
    (plain,), (diverged,) = (
        judge_claims(altered(*statements), chosen_claims([claim])) for statements in ((), (told,))
    )
    assert diverged.contrasts == plain.contrasts and diverged.verdict == "supported"
    assert all(one.estimate.pairs == 5 for own in diverged.contrasts.values() for one in own)


def test_swapped_validations_contradict_the_leap(altered):
    swap = SWAP_VALUES.format(table="validations", a="warmup", b="fast")
    assert verdict(altered(swap), "A5") == "contradicted"


@pytest.mark.parametrize(
    ("claim", "equal"),
    [
        ("A5", "UPDATE validations SET top1 = 0.5"),
        ("A7", "UPDATE runs SET adp_auc = 0.5 + 0.01 * seed"),
        ("A9", "UPDATE runs SET body_distance = 1 + seed"),
    ],
)
def test_equal_arms_are_inconclusive(altered, claim, equal):
    assert verdict(altered(equal), claim) == "inconclusive"


@pytest.mark.parametrize(("claim", "role"), [("A5", "warmup"), ("A7", "baseline"), ("A9", "fast")])
def test_without_the_arm_it_is_not_run(altered, claim, role):
    assert verdict(altered(f"DELETE FROM arms WHERE role = '{role}'"), claim) == "not run"


def test_dominance_needs_every_baseline(altered):
    better = "UPDATE runs SET adp_auc = 0.99 + 0.001 * seed WHERE recipe = 'baseline+alpha=0.01'"
    assert verdict(altered(better), "A7") == "contradicted"
    assert verdict(altered(better, ONE_BASELINE), "A7") == "supported"


def test_a_pair_needs_both_runs(altered):
    gone = "DELETE FROM runs WHERE recipe = 'fast' AND target = 'digits' AND seed > 1"
    (found,) = judge_claims(altered(gone), chosen_claims(["A7"]))
    assert {s.target: j.verdict for s, j in found.settings.items()} == {
        "digits": "not run",
        "fashion-mnist": "supported",
    }


class TestLeap:
    """A5's statistic on hand-made validations of one pair of runs."""

    def difference(self, altered, warmup: dict[int, float], fast: dict[int, float]) -> float | None:
        rows = ", ".join(
            f"('mnist-cnn', 3, 'digits', '{recipe}', 0, {step}, 'joint', 0, {top1}, 0, 1, 1)"
            for recipe, scores in (("warmup", warmup), ("fast", fast))
            for step, top1 in scores.items()
        )
        tables = altered(
            "DELETE FROM validations",
            f"INSERT INTO validations VALUES {rows}",
            "UPDATE runs SET warmup_end_step = 36 WHERE recipe = 'warmup'",
        )
        rows = tables.rows(CLAIMS["A5"].parts[0].query)
        return next(r["value"] for r in rows if (r["target"], r["seed"]) == ("digits", 0))

    def test_drop_below_an_earlier_value(self, altered):
        found = self.difference(altered, {36: 0.9, 45: 0.7, 55: 0.8}, {36: 0.9, 45: 0.88, 55: 0.95})
        assert found == pytest.approx(0.2 - 0.02)

    def test_a_rise_is_no_drop(self, altered):
        found = self.difference(altered, {36: 0.5, 45: 0.6, 55: 0.7}, {36: 0.5, 45: 0.9, 55: 0.95})
        assert found == pytest.approx(0)

    def test_the_drop_may_start_after_the_switch(self, altered):
        found = self.difference(altered, {36: 0.5, 45: 0.9, 55: 0.6}, {36: 0.5, 45: 0.5, 55: 0.5})
        assert found == pytest.approx(0.3)

    def test_twenty_steps_and_no_more(self, altered):
        steady = {28: 0.9, 36: 0.9, 45: 0.9, 56: 0.9, 57: 0.9}
        assert self.difference(altered, steady | {57: 0.1}, steady) == pytest.approx(0)
        assert self.difference(altered, steady | {28: 1.0}, steady) == pytest.approx(0)
        assert self.difference(altered, steady | {56: 0.1}, steady) == pytest.approx(0.8)

    def test_needs_a_validation_after_the_switch(self, altered):
        assert self.difference(altered, {36: 0.9}, {36: 0.9, 45: 0.9}) is None


def test_a_warm_up_that_never_ends_is_not_run(altered):
    assert verdict(altered("UPDATE runs SET warmup_end_step = NULL"), "A5") == "not run"


def test_earlier_snapshots_and_scratch_are_no_setting(altered):
    # Were they compared, the worse numbers there would contradict.
    worse = "UPDATE runs SET adp_auc = 0 WHERE epoch < 3 AND recipe = 'fast'"
    assert verdict(altered(worse), "A7") == "supported"


def test_files(tables, tmp_path: Path):
    verdicts = judge_claims(tables, chosen_claims(["A5", "A7"]))
    write_claims(tmp_path / "claims.parquet", tmp_path / "claims.csv", verdicts)
    table = pq.read_table(tmp_path / "claims.parquet")
    rows = table.to_pylist()
    assert len(rows) == 2 + 4
    contrast = verdicts[1].contrasts[next(iter(verdicts[1].settings))][0]
    row = next(r for r in rows if (r["claim"], r["target"]) == ("A7", "digits"))
    assert (row["contrast"], row["value"], row["p"], row["statistic"]) == (
        "FAST − Baseline 0.05",
        contrast.estimate.value,
        contrast.estimate.p,
        "paired difference",
    )
    assert {row["claim_verdict"] for row in rows} == {"supported"}
    assert sum(row["decisive"] for row in rows) == 4  # one in each setting
    csv = pyarrow.csv.read_csv(tmp_path / "claims.csv")
    assert csv.column_names == table.column_names
    assert csv["value"].to_pylist() == pytest.approx([row["value"] for row in rows])


def test_a_claim_without_runs_has_a_row(altered, tmp_path: Path):
    tables = altered("DELETE FROM arms WHERE role = 'fast'")
    found = judge_claims(tables, chosen_claims(["A9"]))
    write_claims(tmp_path / "claims.parquet", tmp_path / "claims.csv", found)
    (row,) = pq.read_table(tmp_path / "claims.parquet").to_pylist()
    assert (row["claim"], row["claim_verdict"], row["pairs"]) == ("A9", "not run", None)
