"""Statistics against hand-computed numbers and scipy."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fastpipe.reporting.statistics import (
    Concordance,
    Equivalence,
    ExactCheck,
    Interaction,
    NonInferiority,
    PairCorrelation,
    PairedDifference,
    PairSlope,
    RankCorrelation,
    Ratio,
    Slope,
)

FINITE = st.floats(-100, 100).filter(lambda x: x == 0 or abs(x) > 1e-3)
SAMPLES = st.lists(FINITE, min_size=3, max_size=9).filter(lambda values: np.std(values) > 1e-6)


def rows(values):
    return [{"seed": seed, "value": value} for seed, value in enumerate(values)]


def paired_difference(values):
    return PairedDifference()(rows(values))


class TestPairedDifference:
    def test_by_hand(self):
        # mean 3, s² = 10/4, error = sqrt(2.5/5) = 0.7071, t(0.975; 4) = 2.7764, t = 4.2426
        found = paired_difference([1, 2, 3, 4, 5])
        assert found.pairs == 5
        assert found.value == pytest.approx(3)
        assert found.low == pytest.approx(3 - 1.96324, abs=1e-5)
        assert found.high == pytest.approx(3 + 1.96324, abs=1e-5)
        assert found.effect_size == pytest.approx(3 / 2.5**0.5)
        assert found.p == pytest.approx(0.013236, abs=1e-6)
        assert found.holds
        assert found.bootstrap_low is None

    @given(SAMPLES)
    def test_against_scipy(self, values):
        found, theirs = paired_difference(values), stats.ttest_1samp(values, 0)
        low, high = theirs.confidence_interval(0.95)
        assert found.p == pytest.approx(theirs.pvalue, rel=1e-6)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-9)
        assert found.holds == (np.mean(values) >= 0)
        assert Interaction()(rows(values)) == found

    def test_sign_turns_everything_round(self):
        plus, minus = paired_difference([1, 2, 4]), paired_difference([-1, -2, -4])
        assert (minus.low, minus.high) == pytest.approx((-plus.high, -plus.low))
        assert minus.effect_size == pytest.approx(-plus.effect_size)
        assert minus.p == pytest.approx(plus.p)
        assert (plus.holds, minus.holds) == (True, False)

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
        assert (found.value, found.low, found.high, found.p) == (0, 0, 0, None)

    def test_a_constant_difference_is_certain(self):
        found = paired_difference([0.3 - 0.2, 0.9 - 0.8, 0.5 - 0.4])  # equal but for rounding
        assert found.p == 0
        assert found.effect_size is None

    @pytest.mark.parametrize("values", [[], [0.5], [0.5, None]])
    def test_too_few(self, values):
        found = paired_difference(values)
        assert (found.pairs, found.low, found.p) == (min(len(values), 1), None, None)

    def test_refuses_what_is_not_finite(self):
        with pytest.raises(ValueError, match=r"values must be finite, got \[1.0, nan\]"):
            paired_difference([1.0, float("nan")])


class TestNonInferiority:
    def test_by_hand(self):
        # mean 0, error 0.7071, distance to the bound −1: t = 1.41421, one-sided p of t with 4 df
        found = NonInferiority(1.0)(rows([-2, -1, 0, 1, 2]))
        assert found.holds
        assert found.p == pytest.approx(0.115099, abs=1e-5)

    @given(SAMPLES, st.floats(0.01, 50))
    def test_against_scipy(self, values, margin):
        found = NonInferiority(margin)(rows(values))
        side = "greater" if found.holds else "less"
        assert found.p == pytest.approx(stats.ttest_1samp(values, -margin, alternative=side).pvalue)
        assert found.holds == (np.mean(values) > -margin)
        assert (found.low, found.high) == (
            paired_difference(values).low,
            paired_difference(values).high,
        )

    def test_identical_arms_are_no_worse(self):
        found = NonInferiority(0.01)(rows([0.0] * 5))
        assert (found.holds, found.p) == (True, 0.0)


class TestEquivalence:
    def test_by_hand(self):
        # mean 0, error 0.7071, distance 2 to both bounds: t = 2.82843, one-sided p with 4 df
        found = Equivalence(2.0)(rows([-2, -1, 0, 1, 2]))
        assert found.holds
        assert found.p == pytest.approx(0.023712, abs=1e-5)

    @given(SAMPLES, st.floats(0.01, 50), st.floats(-5, 5))
    def test_against_scipy(self, values, margin, reference):
        found = Equivalence(margin, reference)(rows(values))
        low, high = reference - margin, reference + margin
        above = stats.ttest_1samp(values, low, alternative="greater").pvalue
        below = stats.ttest_1samp(values, high, alternative="less").pvalue
        assert found.holds == (low < np.mean(values) < high)
        expected = max(above, below) if found.holds else min(1, 2 * min(1 - above, 1 - below))
        assert found.p == pytest.approx(expected, abs=1e-9)

    def test_beyond_the_margin(self):
        found = Equivalence(0.1)(rows([0.5, 0.51, 0.52]))
        assert not found.holds
        assert found.p < 0.001


class TestRatio:
    def test_by_hand(self):
        # logs ln 2 · (1, 2, 3): mean 2 ln 2, s = ln 2, half = t(0.975; 2) · ln 2 / √3
        found = Ratio()(rows([2, 4, 8]))
        half = 4.302653 * math.log(2) / math.sqrt(3)
        assert found.value == pytest.approx(4)
        assert found.low == pytest.approx(4 * math.exp(-half), rel=1e-5)
        assert found.high == pytest.approx(4 * math.exp(half), rel=1e-5)
        assert found.p == pytest.approx(stats.ttest_1samp(np.log([2, 4, 8]), 0).pvalue)

    def test_the_inverse_is_the_other_side(self):
        assert not Ratio()(rows([0.5, 0.25, 0.125])).holds
        assert Ratio()(rows([1, 1, 1])).p is None

    def test_refuses_what_has_no_logarithm(self):
        with pytest.raises(ValueError, match=r"ratios must be positive, got \[1.0, 0.0\]"):
            Ratio()(rows([1, 0]))


class TestSlope:
    def points(self, slopes):
        return [
            {"seed": seed, "x": x, "y": slope * x + off}
            for seed, slope in enumerate(slopes)
            for x, off in ((0.0, 1.0), (1.0, -2.0), (2.0, 1.0))  # what is off has no slope
        ]

    def test_mean_over_seeds(self):
        found = Slope(1.0, 0.1)(self.points([0.98, 1.0, 1.02]))
        assert (found.pairs, found.holds) == (3, True)
        assert found.value == pytest.approx(1.0)
        expected = Equivalence(0.1, 1.0)(rows([0.98, 1.0, 1.02]))
        assert found.p == pytest.approx(expected.p)

    @given(st.lists(st.tuples(FINITE, FINITE), min_size=3, max_size=6))
    def test_least_squares_against_scipy(self, points):
        if np.ptp([x for x, _ in points]) < 0.1:
            return
        found = Slope(0.0, 1.0)([{"seed": 0, "x": x, "y": y} for x, y in points])
        assert found.value == pytest.approx(
            stats.linregress(*zip(*points, strict=True)).slope, rel=1e-6, abs=1e-6
        )

    def test_one_x_has_no_slope(self):
        assert Slope(1.0, 0.1)([{"seed": 0, "x": 1, "y": y} for y in (1, 2)]).pairs == 0


class TestRankCorrelation:
    def points(self, ranks):
        return [{"seed": 0, "x": x, "y": y} for x, y in enumerate(ranks)]

    def test_spearman_by_hand(self):
        # d² = 0, 1, 1, 0, 0: ρ = 1 − 6 · 2 / (5 · 24) = 0.9; SE = √(1.405 / 2)
        found = RankCorrelation()(self.points([1, 3, 2, 4, 5]))
        assert found.value == pytest.approx(0.9)
        assert found.high == pytest.approx(math.tanh(math.atanh(0.9) + 1.959964 * 0.702**0.5), 1e-3)
        assert found.p == pytest.approx(0.037386, abs=1e-5)

    def test_kendall_by_hand(self):
        # one of ten pairs is the wrong way round: τ = (9 − 1) / 10; two-sided exact p = 10 / 120
        found = RankCorrelation("kendall")(self.points([1, 3, 2, 4, 5]))
        assert found.value == pytest.approx(0.8)
        assert found.p == pytest.approx(10 / 120)

    def test_against_scipy_and_with_bootstrap(self):
        x, y = np.random.default_rng(3).normal(size=(2, 12))
        own = [{"seed": 0, "x": a, "y": a + b} for a, b in zip(x, y, strict=True)]
        for kind, theirs in (("spearman", stats.spearmanr), ("kendall", stats.kendalltau)):
            found = RankCorrelation(kind)(own)
            assert (found.value, found.p) == pytest.approx(tuple(theirs(x, x + y)))
            assert found.bootstrap_low < found.value < found.bootstrap_high <= 1

    @pytest.mark.parametrize("ranks", [[1, 2, 3, 4], [1, 1, 1, 1, 1]])
    def test_undefined(self, ranks):
        assert RankCorrelation()(self.points(ranks)).value is None

    def test_falling_is_the_other_side(self):
        assert not RankCorrelation()(self.points([5, 4, 2, 3, 1])).holds


class TestExactCheck:
    @pytest.mark.parametrize(
        ("values", "worst", "holds"),
        [
            ([1.0, 1.0005, 0.9999], 1.0005, True),
            ([1.0, 0.9989], 0.9989, False),
            ([1.002, 1.0, 0.9995], 1.002, False),
        ],
    )
    def test_the_value_furthest_away_decides(self, values, worst, holds):
        found = ExactCheck(1.0, 1e-3)(rows(values))
        assert (found.value, found.holds, found.p) == (worst, holds, None)
        assert (found.low, found.high, found.pairs) == (min(values), max(values), len(values))

    def test_nothing_to_check(self):
        assert ExactCheck(0.0, 1.0)(rows([None])).value is None


# --- over pairs of source and target --------------------------------------------------------------


def pair_rows(x, y):
    """Rows from two matrices, sources × targets."""
    return [
        {"from_source": f"s{s}", "to_target": f"t{t}", "seed": None, "x": x[s][t], "y": y[s][t]}
        for s in range(len(y))
        for t in range(len(y[0]))
    ]


def two_way(seed, sources=2, targets=5):
    random = np.random.default_rng(seed)
    x = random.normal(size=(sources, targets)).round(1)  # with ties
    return x, (x + random.normal(size=x.shape)).round(1)


def literal_exchanges(x, y, statistic):
    """Two-sided p by exchanging sources and targets of y in all ways, one after the other."""
    observed = abs(statistic(x.ravel(), y.ravel()))
    reached = [
        abs(statistic(x.ravel(), y[list(rows)][:, list(columns)].ravel())) >= observed - 1e-12
        for rows in itertools.permutations(range(len(y)))
        for columns in itertools.permutations(range(len(y[0])))
    ]
    return np.mean(reached)


def covariance(x, y):
    return float(((x - x.mean()) * (y - y.mean())).sum())


class TestPairs:
    @pytest.mark.parametrize("seed", range(3))
    def test_correlation_is_scipys_and_p_the_literal_one(self, seed):
        x, y = two_way(seed)
        found = PairCorrelation()(pair_rows(x, y))
        assert found.value == pytest.approx(stats.spearmanr(x.ravel(), y.ravel()).statistic)
        ranks = [stats.rankdata(m).reshape(m.shape) for m in (x, y)]
        assert found.p == pytest.approx(literal_exchanges(*ranks, covariance))
        assert found.pairs == 10
        assert found.effect_size == pytest.approx(found.value)

    @pytest.mark.parametrize("seed", range(3))
    def test_slope_is_scipys_and_p_the_literal_one(self, seed):
        x, y = two_way(seed)
        found, theirs = PairSlope()(pair_rows(x, y)), stats.linregress(x.ravel(), y.ravel())
        assert found.value == pytest.approx(theirs.slope)
        assert found.effect_size == pytest.approx(theirs.rvalue)
        assert found.p == pytest.approx(literal_exchanges(x, y, covariance))

    def test_one_source_is_scipys_permutation_test(self):
        x, y = two_way(4, sources=1)
        theirs = stats.permutation_test(
            (x[0],), lambda x: abs(covariance(x, y[0])), permutation_type="pairings",
            n_resamples=np.inf, alternative="greater",
        )  # fmt: skip
        assert PairSlope()(pair_rows(x, y)).p == pytest.approx(theirs.pvalue, abs=1e-9)

    def test_slope_interval_by_leaving_targets_out(self):
        x, y = two_way(5, sources=3, targets=6)
        kept = [np.delete(np.arange(6), t) for t in range(6)]
        without = [stats.linregress(x[:, k].ravel(), y[:, k].ravel()).slope for k in kept]
        error = math.sqrt(5 / 6 * sum((one - np.mean(without)) ** 2 for one in without))
        found = PairSlope()(pair_rows(x, y))
        half = stats.t.ppf(0.975, 5) * error
        assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))

    def test_correlation_interval_on_the_scale_of_z(self):
        x, y = two_way(6, sources=3, targets=6)
        kept = [np.delete(np.arange(6), t) for t in range(6)]
        z = [
            math.atanh(stats.spearmanr(x[:, k].ravel(), y[:, k].ravel()).statistic) for k in kept
        ]  # fmt: skip
        error = math.sqrt(5 / 6 * sum((one - np.mean(z)) ** 2 for one in z))
        found = PairCorrelation()(pair_rows(x, y))
        half = stats.t.ppf(0.975, 5) * error
        middle = math.atanh(found.value)
        expected = math.tanh(middle - half), math.tanh(middle + half)
        assert (found.low, found.high) == pytest.approx(expected)

    @pytest.mark.parametrize("statistic", [PairCorrelation(), PairSlope()])
    def test_sign_and_names_do_not_matter(self, statistic):
        x, y = two_way(7)
        plus, minus = statistic(pair_rows(x, y)), statistic(pair_rows(x, -y))
        assert minus.value == pytest.approx(-plus.value)
        assert (minus.low, minus.high) == pytest.approx((-plus.high, -plus.low))
        assert minus.p == pytest.approx(plus.p)
        assert plus.holds != minus.holds
        swapped = statistic(pair_rows(x[::-1, ::-1], y[::-1, ::-1]))
        assert (swapped.value, swapped.p) == pytest.approx((plus.value, plus.p))

    def test_many_pairs_are_sampled(self):
        x, y = two_way(8, sources=3, targets=8)  # 241,920 ways
        found = PairSlope()(pair_rows(x, y))
        theirs = stats.linregress(x.ravel(), y.ravel())
        assert 1e-4 <= found.p < 0.05
        assert theirs.pvalue < 0.05
        assert PairSlope()(pair_rows(x, y)) == found

    def test_perfect_order(self):
        x = np.arange(18.0).reshape(3, 6) ** 2
        found = PairCorrelation()(pair_rows(x, np.sqrt(x)))
        assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))
        assert found.p == pytest.approx(2 / (6 * 720))  # and reversed, as far

    def test_a_target_that_a_source_lacks_is_left_out(self):
        x, y = two_way(9, sources=2, targets=6)
        rows = pair_rows(x, y)
        rows[-1]["y"] = None
        assert PairSlope()(rows) == PairSlope()(pair_rows(x[:, :5], y[:, :5]))

    @pytest.mark.parametrize("statistic", [PairCorrelation(), PairSlope()])
    def test_too_few_or_all_the_same(self, statistic):
        x, y = two_way(1, targets=4)
        assert statistic(pair_rows(x, y)).value is None
        assert statistic([]).value is None
        x, y = two_way(1)
        assert statistic(pair_rows(np.ones_like(x), y)).value is None

    def test_no_false_alarms_from_targets_that_many_sources_share(self):
        """Where both depend on the target alone, pairs are not independent: p must know."""
        random, alarms, naive = np.random.default_rng(3), 0, 0
        for _ in range(200):
            x, y = (np.tile(random.normal(size=5), (3, 1)) for _ in range(2))
            x, y = x + 0.01 * random.normal(size=x.shape), y + 0.01 * random.normal(size=y.shape)
            alarms += PairSlope()(pair_rows(x, y)).p < 0.05
            naive += stats.linregress(x.ravel(), y.ravel()).pvalue < 0.05
        assert alarms / 200 < 0.09
        assert naive / 200 > 0.2


class TestConcordance:
    W = Concordance()

    def test_by_hand(self):
        # ranks 1..5, 1..5, 2 1 3 4 5: sums 4 5 9 12 15; S = 86, W = 12·86 / (9·120)
        y = np.array([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [2, 1, 3, 4, 5]])
        found = self.W(pair_rows(y, y))
        assert found.value == pytest.approx(12 * 86 / (9 * 120))
        assert found.pairs == 5
        assert found.holds
        assert found.chance == pytest.approx(1 / 3)
        assert self.W(pair_rows(y[:2], y[:2])).chance == pytest.approx(1 / 2)

    @pytest.mark.parametrize("seed", range(3))
    def test_against_friedman_and_mean_spearman(self, seed):
        y = np.random.default_rng(seed).integers(0, 4, size=(3, 7)).astype(float)  # ties
        found = self.W(pair_rows(y, y))
        theirs = stats.friedmanchisquare(*y.T).statistic / (3 * (7 - 1))
        assert found.value == pytest.approx(theirs)
        y = np.random.default_rng(seed).normal(size=(3, 7))  # without ties
        pairs = itertools.combinations(y, 2)
        spearman = np.mean([stats.spearmanr(a, b).statistic for a, b in pairs])
        assert self.W(pair_rows(y, y)).effect_size == pytest.approx(spearman)

    def test_p_of_two_is_that_of_all_their_orders(self):
        y = np.array([[1, 2, 3, 4, 5], [1, 3, 2, 4, 5]])
        found = self.W(pair_rows(y, y))
        sums = [np.square(np.arange(1, 6) + np.array(order)).sum()
                for order in itertools.permutations(range(1, 6))]  # fmt: skip
        own = np.square(y.sum(axis=0)).sum()
        assert found.p == pytest.approx(2 * np.mean(np.array(sums) >= own), abs=0.01)
        assert found.holds

    def test_discord_is_on_the_other_side(self):
        y = np.array([[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]])
        found = Concordance()(pair_rows(y, y))
        assert found.value == pytest.approx(0)
        assert not found.holds
        assert found.p < 0.05

    def test_independent_orders_have_one_over_their_number(self):
        random = np.random.default_rng(0)
        values = [self.W(pair_rows(y, y)).value for y in random.normal(size=(40, 3, 7))]
        assert np.mean(values) == pytest.approx(1 / 3, abs=0.06)

    def test_too_little(self):
        one = np.arange(6.0).reshape(1, 6)
        assert self.W(pair_rows(one, one)).value is None
        same = np.ones((3, 6))
        assert self.W(pair_rows(same, same)).value is None
        assert self.W([]).value is None
