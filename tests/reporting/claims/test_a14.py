"""A14: FAST gains more where the network has no skips."""

import pytest


def arms(lab, about, source: str, skips: bool, gain: float, **recipe) -> None:
    lab.source(source, skips=skips)
    for number, baseline in enumerate((0.4, 0.6)):
        lab.arm(f"{source} B{number}", role="baseline", source=source,
                runs={"adp_auc": about(baseline)}, **recipe)  # fmt: skip
    lab.arm(f"{source} FAST", role="fast", source=source, runs={"adp_auc": about(0.5 + gain)},
            **recipe)  # fmt: skip


@pytest.mark.parametrize(
    ("rough", "verdict"), [(0.3, "supported"), (0.0, "contradicted"), (0.1, "inconclusive")]
)
def test_gain_over_the_mean_baseline(lab, about, rough, verdict):
    arms(lab, about, "vgg", False, rough)
    arms(lab, about, "resnet", True, 0.1)
    (found,) = lab.judge("A14")
    assert found.verdict == verdict
    ((setting, (contrast,)),) = found.contrasts.items()
    assert (setting.source, setting.epoch, setting.target) == (None, None, "new")
    assert contrast.name == "vgg − resnet"
    assert contrast.estimate.value == pytest.approx(rough - 0.1)


def test_only_plain_sgd(lab, about):
    arms(lab, about, "vgg", False, 0.3, optimiser="adam")
    arms(lab, about, "resnet", True, 0.1, optimiser="adam")
    assert lab.verdict("A14") == "not run"


def test_one_kind_of_network_is_no_interaction(lab, about):
    arms(lab, about, "densenet", True, 0.3)
    arms(lab, about, "resnet", True, 0.1)
    assert lab.verdict("A14") == "not run"
