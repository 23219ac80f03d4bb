"""Numbers as text."""

import pytest

from fastpipe.reporting import numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (numbers.percent(0.8714), "87.1\u2009%"),
        (numbers.percent(None), "–"),
        (numbers.points(-0.1234), "12.3"),
        (numbers.scores(0.68712), "0.687"),
        (numbers.distance(0.01234), "0.0123"),
        (numbers.plain(12345.6), "12,346"),
        (numbers.plain(-3.14159), "−3.14"),
        (numbers.plain(2.5e-7), "2.5e−07"),
        (numbers.plain(0), "0.00"),
        (numbers.plain(99.97), "100.0"),
        (numbers.plus_minus(0.9671, 0.0181, "percent"), "96.7 ± 1.8"),
        (numbers.plus_minus(4.25, None, "distance"), "4.25"),
        (numbers.plus_minus(None, None, "scores"), "–"),
        (numbers.difference(0.111, "points"), "+11.1"),
        (numbers.difference(-0.0004, "points"), "0.0"),
        (numbers.difference(-1.259, "distance"), "−1.26"),
        (numbers.difference(-0.512, "correlation"), "−0.51"),
        (numbers.difference(0.477, "decades"), "+0.48"),
        (numbers.difference(3.14159, "ratio"), "×3.14"),
        (numbers.difference(-0.996, "slope"), "−1.00"),
        (numbers.difference(-1.23e-7, "deviation"), "−1.2e−07"),
        (numbers.difference(0.0, "deviation"), "0"),
        (numbers.count(1, "step"), "1 step"),
        (numbers.count(1200, "step"), "1,200 steps"),
        (numbers.epochs(1.0), "1 epoch"),
        (numbers.epochs(0.25), "0.25 epochs"),
    ],
)
def test_forms(text, expected):
    assert text == expected
