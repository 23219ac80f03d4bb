"""Sentences say what the numbers say."""

import re

import numpy as np
import pytest

from fastpipe.reporting.claims.verdicts import chosen_claims, judge_claims
from fastpipe.reporting.summary import summarise


def paragraphs(tables, *claims: str) -> dict[str, str]:
    found = summarise(tables, judge_claims(tables, chosen_claims(claims)))
    return {p.heading: re.sub(r"<[^>]+>", "", p.text).replace("\u2009", "") for p in found}


def mean(tables, table: str, column: str, recipe: str, step: int) -> float:
    rows = tables.rows(
        f"SELECT {column} AS x FROM {table} WHERE recipe = ? AND step = ? AND epoch = 3 "
        "AND target = 'digits'",
        [recipe, step],
    )
    return 100 * float(np.mean([row["x"] for row in rows]))


def test_numbers_of_a_target(tables):
    text = paragraphs(tables)["digits"]
    fast, baseline = (mean(tables, "adp", "top1", recipe, 13) for recipe in
                      ("fast", "baseline+alpha=0.01"))  # fmt: skip
    assert f"After 13 steps, FAST classifies {fast:.1f}%" in text
    assert f"the best baseline (Baseline 0.01) {baseline:.1f}%" in text
    assert f"{fast - baseline:.1f} percentage points more" in text
    kept = mean(tables, "forgetting", "top1", "fast", 200)
    assert f"on mnist before, FAST keeps {kept:.1f}% at the end; the baselines keep" in text


def test_it_says_less_when_it_is_less(altered):
    tables = altered("UPDATE adp SET top1 = 0.2 WHERE recipe = 'fast' AND epoch = 3")
    assert "percentage points less" in paragraphs(tables)["digits"]


def test_every_paragraph(tables):
    found = paragraphs(tables, "A5", "A7", "A9")
    assert list(found) == ["The experiment", "digits", "fashion-mnist", "Warm-up", "Pretraining",
                           "Similarity", "Claims"]  # fmt: skip
    assert (
        "2 targets in 6 ways. With 5 seeds and every snapshot, that makes 90 runs of up to 200 "
        in (found["The experiment"])
    )
    assert (
        found["Claims"]
        == "Of 3 claims taken from the paper, A5, A7 and A9 are supported by these runs."
    )
    assert (
        "most similar to mnist is digits (0.914), followed by fashion-mnist (0.844)"
        in (found["Similarity"])
    )
    assert "of FAST on digits from 0.4" in found["Pretraining"]


def test_claims_that_are_not_supported(altered):
    found = paragraphs(
        altered("DELETE FROM arms WHERE role = 'warmup'", "UPDATE runs SET adp_auc = 0.5"),
        "A5",
        "A7",
    )
    assert found["Claims"] == (
        "Of 2 claims taken from the paper, A5 is left untested and A7 is left open by these runs."
    )


def test_without_fast_the_leader_is_named(altered):
    tables = altered("UPDATE arms SET role = 'other' WHERE role = 'fast'")
    assert re.match(r"After 13 steps FAST is ahead with", paragraphs(tables)["digits"])


def test_diverged_runs_are_told(altered):
    tables = altered(
        "UPDATE runs SET status = 'diverged', diverged_step = 7 "
        "WHERE recipe = 'fast' AND seed < 2 AND epoch = 3 AND target = 'digits'"
    )
    assert "2 of fast on digits (from step 7)" in paragraphs(tables)["Diverged"]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM adp",
        "DELETE FROM forgetting",
        "DELETE FROM similarity",
        "DELETE FROM snapshots",
        "DELETE FROM runs WHERE seed > 0",
        "DELETE FROM arms WHERE role <> 'other'",
    ],
)
def test_whatever_is_missing_is_left_out(altered, statement):
    found = paragraphs(altered(statement), "A5", "A7", "A9")
    assert "The experiment" in found
    assert not any(re.search(r"None|nan|\{", text) for text in found.values())


def test_names_are_escaped(altered):
    renamed = [f"UPDATE {t} SET target = '<b>{{x}}'" for t in ("adp", "runs", "arms")]
    tables = altered("UPDATE arms SET arm = '<i>' || arm", *renamed)
    text = "".join(p.text for p in summarise(tables, []))
    assert "&lt;i&gt;FAST" in text
    assert "<i>" not in text
    assert [p.heading for p in summarise(tables, [])][1] == "<b>{x}"
