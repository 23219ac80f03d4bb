"""A3: steps until the head's norm has changed by 10 %."""

import math

import pytest


def norms(lab, label: str, by_step: list[float]) -> None:
    for step, norm in enumerate(by_step):
        lab.measure("steps", label, step=step, head_norm=norm)


@pytest.mark.parametrize(
    ("large", "small", "ratio", "verdict"),
    [
        ([10, 10, 10.9, 11], [1e-7, 1, 1, 1], 3 / 1, "supported"),
        ([10, 10, 10, 10], [1e-7, 1e-7, 2e-7, 1], 4 / 2, "supported"),  # never: one past the last
        ([10, 8, 8, 8], [1, 1, 1.05, 0.85], 1 / 3, "contradicted"),  # falling counts too
        ([10, 10, 12, 12], [1, 1, 2, 2], 1, "inconclusive"),
    ],
)
def test_ratio_of_steps(lab, large, small, ratio, verdict):
    for label, sigma, by_step in (("large", 1.0, large), ("small", 1e-8, small)):
        lab.arm(label, head_init="normal", head_sigma=sigma)
        norms(lab, label, by_step)
    (found,) = lab.judge("A3")
    assert found.verdict == verdict
    ((contrast,),) = found.contrasts.values()
    never = max(large[1:]) < 11 and min(large[1:]) > 9
    assert contrast.name == "large / small" + ", at least" * never
    assert contrast.estimate.value == pytest.approx(ratio)


def test_the_mean_is_geometric(lab):
    for label, sigma in (("large", 1.0), ("small", 1e-8)):
        lab.arm(label, head_init="normal", head_sigma=sigma, seeds=3)
        lab.measure("steps", label, step=0, head_norm=1.0)
    for step in range(1, 5):
        lab.measure("steps", "small", step=step, head_norm=2.0)
        lab.measure("steps", "large", step=step, head_norm=[2.0 if step >= s else 1.0
                                                            for s in (1, 2, 4)])  # fmt: skip
    ((contrast,),) = lab.judge("A3")[0].contrasts.values()
    assert contrast.estimate.value == pytest.approx(math.exp(math.log(1 * 2 * 4) / 3))
