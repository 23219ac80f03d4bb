"""A8: the gap between optimisers is smaller under FAST."""

import pytest


def arms(lab, about, role: str, by_optimiser: dict[str, float], **recipe) -> None:
    for optimiser, auc in by_optimiser.items():
        lab.arm(f"{role} {optimiser} {recipe}", role=role, optimiser=optimiser,
                runs={"adp_auc": about(auc, 1e-3)}, **recipe)  # fmt: skip


@pytest.mark.parametrize(
    ("fast", "baselines", "verdict"),
    [
        ({"sgd": 0.8, "adam": 0.82}, {"sgd": 0.5, "adam": 0.7}, "supported"),
        ({"sgd": 0.5, "adam": 0.7}, {"sgd": 0.8, "adam": 0.82}, "contradicted"),
        ({"sgd": 0.5, "adam": 0.7}, {"sgd": 0.5, "adam": 0.7}, "inconclusive"),
        ({"sgd": 0.8, "radam": 0.82}, {"sgd": 0.5, "adam": 0.7}, "not run"),
    ],
)
def test_gap_of_baselines_minus_gap_of_fast(lab, about, fast, baselines, verdict):
    arms(lab, about, "fast", fast)
    arms(lab, about, "baseline", baselines)
    assert lab.verdict("A8") == verdict


def test_the_gap_is_the_best_minus_the_worst(lab, about):
    arms(lab, about, "baseline", {"sgd": 0.1}, alpha=0.5)  # not in the middle of its rates
    arms(lab, about, "baseline", {"sgd": 0.2}, alpha=0.001)
    arms(lab, about, "baseline", {"sgd": 0.1}, momentum_form="ema")
    arms(lab, about, "fast", {"sgd": 0.8, "adam": 0.83, "radam": 0.81})
    arms(lab, about, "baseline", {"sgd": 0.5, "adam": 0.7, "radam": 0.4, "nesterov": 0.0})
    ((contrast,),) = lab.judge("A8")[0].contrasts.values()
    assert contrast.name == "baselines − FAST (adam, radam, sgd)"
    assert contrast.estimate.value == pytest.approx(0.3 - 0.03)


def test_a_seed_without_one_of_the_optimisers_is_left_out(lab, about):
    arms(lab, about, "fast", {"sgd": 0.8, "adam": 0.83})
    arms(lab, about, "baseline", {"sgd": 0.5, "adam": 0.7})
    lab.execute("UPDATE runs SET adp_auc = NULL WHERE seed = 2 AND recipe LIKE '%adam%'")
    ((contrast,),) = lab.judge("A8")[0].contrasts.values()
    assert contrast.estimate.pairs == 4
