"""The rules against formulas written out, and where they must not say more than they know."""

import numpy as np
import pytest
from scipy import optimize

from fastpipe.advice.predictors import (
    Reference,
    decade,
    median_reference,
    monotone_regression,
    nearest_reference,
)

PAPER = (0.001, 1.0)
REFERENCES = [
    Reference("dogs", 0.862, 0.001),
    Reference("birds", 0.860, 0.05),
    Reference("cars", 0.845, 0.5),
    Reference("flowers", 0.844, 0.1),
    Reference("aircrafts", 0.840, 1.0),
]


class TestDecade:
    @pytest.mark.parametrize(
        ("elr", "expected"),
        [
            (0.001, (0.001, 0.01)),
            (0.005, (0.001, 0.01)),
            (0.01, (0.001, 0.01)),
            (0.05, (0.01, 0.1)),
            (0.1, (0.01, 0.1)),
            (0.5, (0.1, 1.0)),
            (1.0, (0.1, 1.0)),
        ],
    )
    def test_the_papers(self, elr, expected):
        assert decade(elr, PAPER) == expected

    def test_a_grid_that_spans_others(self):
        span = (0.003, 3.0)
        assert decade(3.0, span) == (1.0, 10.0)
        assert decade(0.003, span) == (0.001, 0.01)
        assert decade(1.0, span) == decade(1.0000000000000002, span) == (0.1, 1.0)

    def test_a_grid_within_one_decade(self):
        assert decade(0.1, (0.1, 0.1)) == decade(0.3, (0.1, 0.5)) == (0.1, 1.0)


class TestNearestReference:
    def test_takes_the_decade_and_the_rate_of_the_nearest(self):
        found = nearest_reference(REFERENCES, 0.857, PAPER)
        assert (found.low, found.high, found.point) == (0.01, 0.1, 0.05)

    def test_beyond_the_outermost(self):
        assert nearest_reference(REFERENCES, 0.99, PAPER).point == 0.001
        assert nearest_reference(REFERENCES, 0.1, PAPER).point == 1.0

    def test_equally_near(self):
        two = [Reference("b", 0.8, 0.5), Reference("a", 0.6, 0.05)]
        assert nearest_reference(two, 0.7, PAPER).point == 0.05
        assert nearest_reference(two[::-1], 0.7, PAPER).point == 0.05

    def test_none(self):
        with pytest.raises(ValueError):
            nearest_reference([], 0.7, PAPER)


def test_median_of_the_references():
    found = median_reference(REFERENCES, 0.99, PAPER)
    assert found.point == pytest.approx(0.1)
    assert (found.low, found.high) == (0.01, 0.1)


def slow_falling_line(x, y, at):
    """Least squares under a bound, by a general solver."""
    design = np.column_stack([np.ones(len(x)), np.asarray(x) - np.mean(x)])
    bounds = ([-np.inf, -np.inf], [np.inf, 0])
    found = optimize.lsq_linear(design, y, bounds=bounds, tol=1e-14).x
    return found[0] + found[1] * (at - np.mean(x))


class TestMonotoneRegression:
    @pytest.mark.parametrize("sign", [1, -1])
    def test_against_a_general_solver(self, sign):
        noise = np.random.default_rng(3)
        x = noise.uniform(0.7, 0.9, 9)
        y = -1.5 + sign * -6 * (x - 0.8) + noise.normal(0, 0.2, 9)
        known = [Reference(str(i), *pair) for i, pair in enumerate(zip(x, 10**y, strict=True))]
        found = monotone_regression(known, 0.77, (1e-9, 1e9))
        expected = slow_falling_line(x, y, 0.77)
        assert np.log10(found.point) == pytest.approx(expected, abs=1e-5)
        if sign < 0:
            assert found.point == pytest.approx(10 ** y.mean())

    def test_jackknife_plus_written_out(self):
        noise = np.random.default_rng(5)
        x, y = noise.uniform(0.7, 0.9, 9), noise.normal(-1, 0.5, 9)
        known = [Reference(str(i), *pair) for i, pair in enumerate(zip(x, 10**y, strict=True))]
        lows, highs = [], []
        for i in range(9):
            rest = [j for j in range(9) if j != i]
            residual = abs(y[i] - slow_falling_line(x[rest], y[rest], x[i]))
            guess = slow_falling_line(x[rest], y[rest], 0.82)
            lows.append(guess - residual)
            highs.append(guess + residual)
        found = monotone_regression(known, 0.82, (1e-9, 1e9))
        # ⌊0.2 · 10⌋ = 2nd smallest, ⌈0.8 · 10⌉ = 8th smallest.
        assert np.log10(found.low) == pytest.approx(sorted(lows)[1], abs=1e-5)
        assert np.log10(found.high) == pytest.approx(sorted(highs)[7], abs=1e-5)

    def test_never_rises_with_similarity(self):
        for seed in range(20):
            noise = np.random.default_rng(seed)
            known = [
                Reference(str(i), s, 10**e)
                for i, (s, e) in enumerate(zip(noise.random(6), noise.normal(size=6), strict=True))
            ]
            points = [monotone_regression(known, s, (1e-9, 1e9)).point for s in (0.2, 0.5, 0.8)]
            assert points[0] >= points[1] * (1 - 1e-9) and points[1] >= points[2] * (1 - 1e-9)

    def test_coverage_is_what_it_says(self):
        inside = 0
        for seed in range(300):
            noise = np.random.default_rng(seed)
            x = noise.uniform(0.6, 0.9, 9)
            y = -1 - 5 * (x - 0.75) + noise.normal(0, 0.4, 9)
            known = [
                Reference(str(i), *p) for i, p in enumerate(zip(x[1:], 10 ** y[1:], strict=True))
            ]
            inside += monotone_regression(known, x[0], (1e-9, 1e9)).holds(10 ** y[0])
        assert 0.74 < inside / 300 < 0.95

    def test_few_references_give_the_whole_span(self):
        found = monotone_regression(REFERENCES[:3], 0.85, PAPER)
        assert (found.low, found.high) == PAPER
        one = monotone_regression(REFERENCES[:1], 0.5, PAPER)
        assert (one.low, one.high, one.point) == (0.001, 1.0, pytest.approx(0.001))

    def test_stays_within_the_span(self):
        found = monotone_regression(REFERENCES, 0.2, PAPER)
        assert found.point == found.high == 1.0

    def test_targets_of_one_similarity(self):
        known = [Reference(str(i), 0.8, elr) for i, elr in enumerate((0.01, 0.1, 1.0))]
        assert monotone_regression(known, 0.9, PAPER).point == pytest.approx(0.1)

    def test_none(self):
        with pytest.raises(ValueError, match="no references"):
            monotone_regression([], 0.7, PAPER)
