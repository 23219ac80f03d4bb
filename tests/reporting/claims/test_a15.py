"""A15: fan-out is worse than fan-in where D > N."""

import pytest


def arms(lab, about, fan_in: float) -> None:
    lab.arm("fan-in", head_init="kaiming-fan-in", runs={"adp_auc": about(fan_in)})
    lab.arm("fan-out", head_init="kaiming-fan-out", runs={"adp_auc": about(0.5)})
    lab.arm("other", head_init="kaiming-fan-out", alpha=0.3, runs={"adp_auc": about(0.9)})


@pytest.mark.parametrize(
    ("fan_in", "verdict"), [(0.7, "supported"), (0.3, "contradicted"), (0.5, "inconclusive")]
)
def test_fan_in_minus_fan_out(lab, about, fan_in, verdict):
    arms(lab, about, fan_in)
    (found,) = lab.judge("A15")
    assert found.verdict == verdict
    ((contrast,),) = found.contrasts.values()
    assert contrast.name == "fan-in − fan-out"
    assert contrast.estimate.value == pytest.approx(fan_in - 0.5)


def test_only_with_more_features_than_classes(lab, about):
    arms(lab, about, 0.7)
    lab.execute("UPDATE snapshots SET features = 10")
    assert lab.verdict("A15") == "not run"
