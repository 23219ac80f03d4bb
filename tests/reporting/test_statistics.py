"""Statistics against hand-computed numbers and scipy; verdicts against their definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fastpipe.reporting.statistics import Paired, combine, holm, judge, paired_difference


def one(mean: float, p: float | None, pairs: int = 5) -> Paired:
    return Paired(pairs, mean, mean - 1, mean + 1, 1.0, p)


def verdicts(contrasts, min_pairs=3):
    found = judge(contrasts, dict.fromkeys(contrasts, min_pairs))
    return {key: judgement.verdict for key, judgement in found.items()}


class TestPairedDifference:
    def test_by_hand(self):
        # mean 3, s² = 10/4, error = sqrt(2.5/5) = 0.7071, t(0.975; 4) = 2.7764, t = 4.2426
        found = paired_difference([1, 2, 3, 4, 5])
        assert found.pairs == 5
        assert found.mean == pytest.approx(3)
        assert found.low == pytest.approx(3 - 1.96324, abs=1e-5)
        assert found.high == pytest.approx(3 + 1.96324, abs=1e-5)
        assert found.effect_size == pytest.approx(3 / 2.5**0.5)
        assert found.p == pytest.approx(0.013236, abs=1e-6)
        assert found.bootstrap_low is None

    @given(
        st.lists(
            st.floats(-100, 100).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=3, max_size=9
        )
    )
    def test_against_scipy(self, values):
        if np.std(values) < 1e-6:
            return
        found, theirs = paired_difference(values), stats.ttest_1samp(values, 0)
        low, high = theirs.confidence_interval(0.95)
        assert found.p == pytest.approx(theirs.pvalue, rel=1e-6)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-9)

    def test_sign_turns_everything_round(self):
        plus, minus = paired_difference([1, 2, 4]), paired_difference([-1, -2, -4])
        assert (minus.low, minus.high) == pytest.approx((-plus.high, -plus.low))
        assert minus.effect_size == pytest.approx(-plus.effect_size)
        assert minus.p == pytest.approx(plus.p)

    def test_bootstrap_from_ten_pairs_on(self):
        values = np.random.default_rng(1).exponential(size=10)
        nine, ten = paired_difference(values[:9]), paired_difference(values)
        assert nine.bootstrap_low is None
        theirs = stats.bootstrap(
            (values,), np.mean, method="BCa", n_resamples=9_999, rng=np.random.default_rng(0)
        ).confidence_interval
        assert (ten.bootstrap_low, ten.bootstrap_high) == pytest.approx(tuple(theirs))
        assert paired_difference(values) == ten

    def test_identical_arms_have_no_p(self):
        found = paired_difference([0.0] * 5)
        assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, None)

    def test_a_constant_difference_is_certain(self):
        found = paired_difference([0.3 - 0.2, 0.9 - 0.8, 0.5 - 0.4])  # equal but for rounding
        assert found.p == 0
        assert found.effect_size is None

    @pytest.mark.parametrize("values", [[], [0.5]])
    def test_too_few(self, values):
        found = paired_difference(values)
        assert (found.pairs, found.low, found.p) == (len(values), None, None)

    def test_refuses_what_is_not_finite(self):
        with pytest.raises(ValueError, match=r"must be finite, got \[1.0, nan\]"):
            paired_difference([1.0, float("nan")])


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

    def test_needs_every_contrast(self):
        assert verdicts({"a": [one(1, 0.001), one(1, 0.2)]}) == {"a": "inconclusive"}
        assert verdicts({"a": [one(1, 0.001), one(1, 0.04)]}) == {"a": "supported"}

    def test_one_contrast_on_the_other_side_contradicts(self):
        assert verdicts({"a": [one(1, 0.001), one(-1, 0.01)]}) == {"a": "contradicted"}
        # … but it is one of two that could have: 2 × 0.03 > 0.05
        assert verdicts({"a": [one(1, 0.001), one(-1, 0.03)]}) == {"a": "inconclusive"}

    def test_is_corrected_over_all_settings(self):
        assert verdicts({"a": [one(1, 0.03)]})["a"] == "supported"
        assert verdicts({"a": [one(1, 0.03)], "b": [one(1, 0.9)]})["a"] == "inconclusive"

    def test_not_run_is_not_counted(self):
        found = verdicts({"a": [one(1, 0.03)], "b": [one(1, 0.001, pairs=2)], "c": []})
        assert found == {"a": "supported", "b": "not run", "c": "not run"}

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
    def test_combine(self, parts, whole):
        assert combine(parts) == whole
