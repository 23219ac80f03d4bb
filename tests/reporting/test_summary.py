"""Sentences say what the numbers say."""

import re

import numpy as np
import pytest
from scipy import stats

from fastpipe.reporting.claims.verdicts import chosen_claims, judge_claims
from fastpipe.reporting.summary import summarise


def paragraphs(tables, *claims: str) -> dict[str, str]:
    found = summarise(tables, judge_claims(tables, chosen_claims(claims)))
    return {p.heading: re.sub(r"<[^>]+>", "", p.text).replace("\u2009", "").replace("\u00a0", " ")
            for p in found}  # fmt: skip


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
    assert f"{fast - baseline:.1f} percentage points more (95 % interval " in text
    kept = mean(tables, "forgetting", "top1", "fast", 200)
    assert f"on mnist before, FAST keeps {kept:.1f}% ± " in text
    assert " at the end; the baselines keep" in text


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
    assert found["Claims"] == "Of 3 claims: 3 supported (A5, A7 and A9)."
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
    assert found["Claims"] == "Of 2 claims: 1 inconclusive (A7) and 1 not run (A5)."


def test_intervals_are_those_of_scipy(tables):
    scores = {
        recipe: [
            row["top1"]
            for row in tables.rows(
                "SELECT top1 FROM adp WHERE recipe = ? AND step = 13 AND epoch = 3 "
                "AND target = 'digits' ORDER BY seed", [recipe],
            )
        ]
        for recipe in ("fast", "baseline+alpha=0.01")
    }  # fmt: skip
    gain = 100 * np.subtract(*scores.values())
    low, high = stats.ttest_1samp(gain, 0).confidence_interval(0.95)
    text = paragraphs(tables)["digits"]
    assert f"{gain.mean():.1f} percentage points more (95 % interval {low:.1f} to {high:.1f})" in (
        text
    )
    half = stats.ttest_1samp(100 * np.array(scores["fast"]), 0).confidence_interval(0.95)
    assert (
        f"FAST classifies {100 * np.mean(scores['fast']):.1f}% ± {(half[1] - half[0]) / 2:.1f} "
        in (text)
    )


def test_one_step_is_no_steps(altered):
    text = paragraphs(altered("DELETE FROM adp WHERE step > 1"))["digits"]
    assert "After 1 step, FAST classifies" in text
    assert "After all 1 step it is" in text


def test_several_studies_are_told_in_short(altered):
    tables = altered(
        "INSERT INTO studies BY NAME SELECT 1 AS position, 'second' AS name, 'Once more' AS title, "
        "['A9'] AS claims",
        "INSERT INTO arms SELECT 'second', position, arm, role, source, epoch, target, recipe, "
        "seeds FROM arms WHERE role IN ('fast', 'baseline') AND target = 'digits'",
    )
    found = paragraphs(tables, "A5", "A9")
    own = "FAST and the usual ways to fine-tune"
    assert list(found) == ["The experiment", "Claims", own, "Once more"]
    assert "2 targets in 9 ways" in found["The experiment"]
    assert re.fullmatch(
        r"FAST ends closer to the pretrained network \(A9\) is supported: "
        r"\+\d\.\d\d \(\+\d\.\d\d to \+\d\.\d\d\), p &lt; 0\.001\.",
        found["Once more"],
    )
    assert "Leaving warm-up costs accuracy at first (A5) is supported: +" in found[own]


def test_without_fast_the_leader_is_named(altered):
    tables = altered("UPDATE arms SET role = 'other' WHERE role = 'fast'")
    assert re.match(r"After 13 steps FAST is ahead with", paragraphs(tables)["digits"])


@pytest.mark.fault(23)
def test_diverged_runs_are_told(altered):
    tables = altered(
        "UPDATE runs SET status = 'diverged', diverged_step = 7 "
        "WHERE recipe = 'fast' AND seed < 2 AND epoch = 3 AND target = 'digits'"
    )
    assert "2 of FAST from mnist-cnn on digits (from step 7)" in paragraphs(tables)["Diverged"]


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


def test_released_weights_without_images_are_called_so(altered):
    text = paragraphs(altered("UPDATE snapshots SET dataset = NULL"))["The experiment"]
    assert "mnist-cnn (small-cnn, released weights)" in text
    assert "None" not in text


def test_many_pairs_are_told_by_source_and_chosen_on_validation(altered_grid):
    grid = altered_grid(
        "DELETE FROM arms WHERE study <> 'hp-grid'", "DELETE FROM studies WHERE name <> 'hp-grid'"
    )
    found = {one.heading: str(one.text) for one in summarise(grid, [])}
    rows = grid.rows("FROM comparison WHERE role <> 'scratch'")
    sources = sorted({row["setting_source"] for row in rows})
    assert [name for name in found if name.startswith("From ")] == [f"From {s}" for s in sources]
    own = [row for row in rows if row["setting_source"] == sources[0]]
    tuned = []
    for target in {row["target"] for row in own}:
        arms = {row["arm"] for row in own if row["target"] == target}
        chosen = {
            arm: [
                np.mean([row[name] for row in own if (row["target"], row["arm"]) == (target, arm)])
                for name in ("val_top1", "final_top1")
            ]
            for arm in arms
        }
        tuned.append(max(chosen.values())[1])
    shown = re.findall(r"<b>([\d.]+)", found[f"From {sources[0]}"])
    assert [float(number) for number in shown] == pytest.approx(
        [100 * min(tuned), 100 * max(tuned)], abs=0.051
    )
