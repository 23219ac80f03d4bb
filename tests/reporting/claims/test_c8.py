"""C8: by regrets made up by hand."""

import itertools

import pytest

TARGETS = "abcdefg"
WOBBLE = (-0.002, 0.0, 0.001, 0.002, -0.001, 0.0, 0.001)


def advised(
    lab, rule: float, default: float, random: float, blind: float = 0.02, sources=("old",)
) -> None:
    """Regrets near these numbers on seven targets; `blind`: of searches without similarity."""
    lab.arm("default")  # a study needs an arm to be listed
    for (target, off), source in itertools.product(zip(TARGETS, WOBBLE, strict=True), sources):
        for predictor, search, regret in (
            ("nearest", True, rule + off),
            ("nearest", False, 0.5),
            ("default", False, default - 2 * off),
            ("default", True, blind + off / 2),
            ("median", True, blind + off / 2),
            ("median", False, 0.5),
            ("random", True, random + off),
            ("random", False, 0.5),
        ):
            lab.insert(
                "advice", study="lab", source=source, epoch=3.0, target=target,
                predictor=predictor, search=search, regret=regret,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "default", "random", "blind", "verdict"),
    [
        (0.003, 0.05, 0.02, 0.02, "supported"),
        (0.03, 0.05, 0.06, 0.06, "contradicted"),  # too far from the full grid
        (0.003, 0.004, 0.02, 0.02, "inconclusive"),  # hardly better than the default
        (0.009, 0.0, 0.02, 0.02, "contradicted"),  # clearly worse than the default
        (0.003, 0.05, -0.02, 0.02, "contradicted"),  # worse than random points
        (0.003, 0.05, 0.02, 0.003, "inconclusive"),  # as good without similarity
        (0.003, 0.05, 0.02, 0.0, "contradicted"),  # better without similarity
    ],
)
def test_verdict(lab, rule, default, random, blind, verdict):
    advised(lab, rule, default, random, blind)
    assert lab.verdict("C8") == verdict


def test_five_comparisons_of_targets_averaged_over_sources(lab):
    advised(lab, 0.003, 0.05, 0.02, sources=("old", "other"))
    lab.execute("UPDATE advice SET regret = regret + 0.01 WHERE source = 'other'")
    (found,) = lab.judge("C8")
    ((setting, contrasts),) = found.contrasts.items()
    assert (setting.source, setting.epoch) == (None, None)
    values = {one.name: (one.estimate.pairs, one.estimate.value) for one in contrasts}
    assert values == {
        "predicted range − full grid": (7, pytest.approx(-0.008 - sum(WOBBLE) / 7)),
        "predicted range − always the default": (7, pytest.approx(0.047 - 3 * sum(WOBBLE) / 7)),
        "predicted range − random points": (7, pytest.approx(0.017)),
        "predicted range − decade of the median": (7, pytest.approx(0.017 - sum(WOBBLE) / 14)),
        "predicted range − decade of the default": (7, pytest.approx(0.017 - sum(WOBBLE) / 14)),
    }


def test_without_a_grid_it_is_not_run(lab):
    lab.arm("default")
    assert lab.verdict("C8") == "not run"
