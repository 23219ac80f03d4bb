"""Verdicts against their definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpipe.reporting.claims.judging import Contrast, combine, holm, judge
from fastpipe.reporting.statistics import Estimate


def one(value: float, p: float | None, pairs: int = 5) -> Contrast:
    estimate = Estimate(pairs, value, value - 1, value + 1, 1.0, value >= 0, p)
    return Contrast("a − b", estimate, fewest_pairs=3)


def exact(holds: bool, value: float | None = 0.0) -> Contrast:
    return Contrast("check", Estimate(5, value, value, value, None, holds, None), 1, exact=True)


def verdicts(contrasts):
    return {key: judgement.verdict for key, judgement in judge(contrasts).items()}


class TestHolm:
    def test_by_hand(self):
        assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
        assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
        assert holm([]) == []

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
    def test_laws(self, p):
        adjusted = holm(p)
        assert all(a >= b for a, b in zip(adjusted, p, strict=True))
        assert max(adjusted) <= 1
        order = np.argsort(p, kind="stable")
        assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


class TestJudge:
    def test_supported_contradicted_inconclusive(self):
        assert verdicts({"a": [one(1, 0.01)]}) == {"a": "supported"}
        assert verdicts({"a": [one(-1, 0.01)]}) == {"a": "contradicted"}
        assert verdicts({"a": [one(1, 0.2)]}) == {"a": "inconclusive"}
        assert verdicts({"a": [one(0, None)]}) == {"a": "inconclusive"}

    def test_the_level_is_five_percent(self):
        assert verdicts({"a": [one(1, 0.0499)]}) == {"a": "supported"}
        assert verdicts({"a": [one(1, 0.05)]}) == {"a": "inconclusive"}

    def test_needs_every_contrast(self):
        assert verdicts({"a": [one(1, 0.001), one(1, 0.2)]}) == {"a": "inconclusive"}
        assert verdicts({"a": [one(1, 0.001), one(1, 0.04)]}) == {"a": "supported"}

    def test_one_contrast_on_the_other_side_contradicts(self):
        assert verdicts({"a": [one(1, 0.001), one(-1, 0.01)]}) == {"a": "contradicted"}
        # … but it is one of two that could have: 2 × 0.03 > 0.05
        assert verdicts({"a": [one(1, 0.001), one(-1, 0.03)]}) == {"a": "inconclusive"}

    def test_the_decisive_contrast(self):
        assert judge({"a": [one(1, 0.001), one(1, 0.2)]})["a"].decisive == 1
        found = judge({"a": [one(1, 0.9), one(-1, 0.3), one(-1, 0.01)]})["a"]
        assert (found.decisive, found.p) == (2, pytest.approx(0.03))

    def test_is_corrected_over_all_settings(self):
        assert verdicts({"a": [one(1, 0.03)]})["a"] == "supported"
        assert verdicts({"a": [one(1, 0.03)], "b": [one(1, 0.9)]})["a"] == "inconclusive"

    def test_not_run_is_not_counted(self):
        found = verdicts({"a": [one(1, 0.03)], "b": [one(1, 0.001, pairs=2)], "c": []})
        assert found == {"a": "supported", "b": "not run", "c": "not run"}


class TestExact:
    def test_takes_no_part_in_the_correction(self):
        found = judge({"a": [one(1, 0.03)], "b": [exact(True)], "c": [exact(False)]})
        assert {key: own.verdict for key, own in found.items()} == {
            "a": "supported", "b": "supported", "c": "contradicted"
        }  # fmt: skip
        assert found["a"].p_holm == pytest.approx(0.03)
        assert (found["b"].p, found["c"].p_holm) == (None, None)

    def test_together_with_tests(self):
        assert verdicts({"a": [exact(True), one(1, 0.01)]}) == {"a": "supported"}
        assert verdicts({"a": [exact(True), one(1, 0.2)]}) == {"a": "inconclusive"}
        assert verdicts({"a": [exact(False), one(1, 0.01)]}) == {"a": "contradicted"}
        # exact checks are no further chance to err: 1 × 0.03, not 2 × 0.03
        assert verdicts({"a": [exact(True), one(-1, 0.03)]}) == {"a": "contradicted"}

    def test_where_a_part_is_missing(self):
        missing = Contrast("none", Estimate(0, None, None, None, None, True, None), 3)
        assert verdicts({"a": [exact(True), missing]}) == {"a": "not run"}
        assert verdicts({"a": [exact(False), missing]}) == {"a": "contradicted"}


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["supported", "supported"], "supported"),
        (["supported", "inconclusive"], "inconclusive"),
        (["supported", "not run"], "inconclusive"),
        (["supported", "contradicted"], "contradicted"),
        (["not run", "not run"], "not run"),
        ([], "not run"),
    ],
)
def test_combine(parts, whole):
    assert combine(parts) == whole
