"""A7, A9 and A10 compare FAST with every baseline of its optimiser."""

import pytest


def contest(lab, about, column: str, fast: float, baselines: tuple[float, ...] = (0.5, 0.4)):
    lab.arm("FAST", role="fast", runs={column: about(fast)})
    for number, value in enumerate(baselines):
        lab.arm(f"B{number}", role="baseline", runs={column: about(value)})


@pytest.mark.parametrize(("claim", "column"), [("A7", "adp_auc"), ("A9", "body_distance")])
class TestEveryBaseline:
    @pytest.mark.parametrize("better", [True, False])
    def test_all_on_one_side(self, lab, about, claim, column, better):
        contest(lab, about, column, 0.8 if better == (claim == "A7") else 0.1)
        assert lab.verdict(claim) == ("supported" if better else "contradicted")

    def test_equal_to_one(self, lab, about, claim, column):
        contest(lab, about, column, 0.8, baselines=(0.8,))
        assert lab.verdict(claim) == "inconclusive"

    def test_another_optimiser_is_no_rival(self, lab, about, claim, column):
        contest(lab, about, column, 0.5, baselines=())
        lab.arm("Adam", role="baseline", optimiser="adam", runs={column: about(0.4)})
        lab.arm("ema", role="baseline", momentum_form="ema", runs={column: about(0.4)})
        assert lab.verdict(claim) == "not run"


def errors(lab, about, worse: float) -> None:
    """FAST with a final error that is higher than the baseline's by `worse`."""
    scores = {"final_top1": about(0.8, 1e-4), "final_top5": about(0.9, 1e-4)}
    lab.arm("B", role="baseline", runs=scores)
    lower = {name: [value - worse for value in values] for name, values in scores.items()}
    lab.arm("FAST", role="fast", runs=lower)


@pytest.mark.parametrize(
    ("worse", "verdict"),
    [(-0.1, "supported"), (0.0, "supported"), (0.008, "supported"), (0.02, "contradicted")],
)
def test_no_worse_by_more_than_a_point(lab, about, worse, verdict):
    errors(lab, about, worse)
    (found,) = lab.judge("A10")
    assert found.verdict == verdict
    ((*contrasts,),) = found.contrasts.values()
    assert [one.name for one in contrasts] == ["top-1: B − FAST", "top-5: B − FAST"]
    assert contrasts[0].estimate.value == pytest.approx(-worse)


def test_a_wide_interval_leaves_it_open(lab, about):
    lab.arm("B", role="baseline", runs={"final_top1": [0.8, 0.9, 0.7, 0.85, 0.75]})
    lab.arm("FAST", role="fast", runs={"final_top1": [0.9, 0.8, 0.8, 0.75, 0.75]})
    (found,) = lab.judge("A10")
    assert found.verdict == "inconclusive"
    ((only,),) = found.contrasts.values()  # no top-5 with five classes or fewer
    assert only.name == "top-1: B − FAST"
