"""A6: lowering only β keeps early ADP, lowering both loses it."""

import math

import pytest

NEAR_ZERO = {"head_init": "normal", "head_sigma": 1e-8}


def arm(lab, label: str, alpha: float, beta: float, scores: dict[int, list[float]], **recipe):
    lab.arm(label, alpha=alpha, beta=beta, **(NEAR_ZERO | recipe))
    for step, top1 in scores.items():
        lab.measure("adp", label, step=step, deployed_step=step, top1=top1)


def flat(about, middle: float) -> dict[int, list[float]]:
    return {1: about(middle), 10: about(middle), 89: about(middle), 144: about(1 - middle)}


@pytest.mark.parametrize(
    ("body_only", "verdict"), [(0.7, "supported"), (0.3, "contradicted"), (0.5, "inconclusive")]
)
def test_same_factor_below_the_reference(lab, about, body_only, verdict):
    arm(lab, "(c, c)", 0.01, 0.01, flat(about, 0.1))
    arm(lab, "(c, 0.1 c)", 0.01, 0.001, flat(about, body_only))
    arm(lab, "(0.1 c, 0.1 c)", 0.001, 0.001, flat(about, 0.5))
    arm(lab, "(10 c, 10 c)", 0.1, 0.1, flat(about, 0.9))
    (found,) = lab.judge("A6")
    assert found.verdict == verdict
    ((contrast,),) = found.contrasts.values()
    assert contrast.name == "(c, 0.1 c) − (0.1 c, 0.1 c)"
    assert contrast.estimate.value == pytest.approx(body_only - 0.5)


def test_area_ends_at_the_last_checkpoint_up_to_100(lab):
    ends = {1: 0.0, 10: 1.0, 100: 1.0, 144: 0.0}
    arm(lab, "(c, c)", 0.01, 0.01, ends)
    arm(lab, "(c, 0.1 c)", 0.01, 0.001, ends)
    arm(lab, "(0.1 c, 0.1 c)", 0.001, 0.001, dict.fromkeys(ends, 0.0))
    ((contrast,),) = lab.judge("A6")[0].contrasts.values()
    expected = (0.5 * math.log(10) + 1.0 * math.log(10)) / math.log(100)
    assert contrast.estimate.value == pytest.approx(expected)


@pytest.mark.parametrize("change", [{"head_init": "kaiming-fan-in"}, {"head_sigma": 1e-2}])
def test_only_from_a_head_near_zero(lab, about, change):
    arm(lab, "(c, c)", 0.01, 0.01, flat(about, 0.1), **change)
    arm(lab, "(c, 0.1 c)", 0.01, 0.001, flat(about, 0.7), **change)
    arm(lab, "(0.1 c, 0.1 c)", 0.001, 0.001, flat(about, 0.5), **change)
    assert lab.verdict("A6") == "not run"


def test_without_the_reference_arm_there_is_no_middle(lab, about):
    arm(lab, "(c, 0.1 c)", 0.01, 0.001, flat(about, 0.7))
    arm(lab, "(c, 0.2 c)", 0.01, 0.002, flat(about, 0.7))
    arm(lab, "(0.1 c, 0.1 c)", 0.001, 0.001, flat(about, 0.5))
    assert lab.verdict("A6") == "not run"
