"""A1: a smaller head initialisation converges faster."""

import pytest

HEAD = {"head_init": "normal"}


@pytest.mark.parametrize(
    ("small", "verdict"), [(0.7, "supported"), (0.3, "contradicted"), (0.5, "inconclusive")]
)
def test_the_ends_of_sigma_decide(lab, about, small, verdict):
    lab.arm("1", head_sigma=1.0, runs={"adp_auc": about(0.5)}, **HEAD)
    lab.arm("1e-2", head_sigma=1e-2, runs={"adp_auc": about(0.99)}, **HEAD)
    lab.arm("1e-8", head_sigma=1e-8, runs={"adp_auc": about(small)}, **HEAD)
    (found,) = lab.judge("A1")
    assert found.verdict == verdict
    ((contrast,),) = found.contrasts.values()
    assert contrast.name == "1e-8 − 1"
    assert contrast.estimate.value == pytest.approx(small - 0.5)


def test_all_else_must_be_equal(lab, about):
    lab.arm("1", head_sigma=1.0, runs={"adp_auc": about(0.5)}, **HEAD)
    lab.arm("1e-8", head_sigma=1e-8, alpha=0.1, runs={"adp_auc": about(0.9)}, **HEAD)
    lab.arm("fan-in", head_sigma=1e-9, runs={"adp_auc": about(0.9)})
    assert lab.verdict("A1") == "not run"


def test_each_family_of_recipes_is_a_contrast(lab, about):
    for alpha in (0.01, 0.1):
        for sigma in (1.0, 1e-8):
            runs = {"adp_auc": about(0.5 + 0.2 * (sigma < 1))}
            lab.arm(f"{alpha} {sigma}", head_sigma=sigma, alpha=alpha, runs=runs, **HEAD)
    (found,) = lab.judge("A1")
    ((one, other),) = found.contrasts.values()
    assert (one.name, other.name) == ("0.01 1e-08 − 0.01 1.0", "0.1 1e-08 − 0.1 1.0")


def test_sigma_says_nothing_of_other_distributions(lab, about):
    for sigma in (1.0, 1e-8):
        lab.arm(f"{sigma}", head_sigma=sigma, runs={"adp_auc": about(sigma)})
    assert lab.verdict("A1") == "not run"
