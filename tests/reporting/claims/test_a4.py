"""A4: a random head that is kept fixed slows convergence."""

import pytest

HEAD = {"head_init": "normal", "head_sigma": 0.01}


@pytest.mark.parametrize(
    ("free", "verdict"), [(0.7, "supported"), (0.3, "contradicted"), (0.5, "inconclusive")]
)
def test_free_minus_fixed(lab, about, free, verdict):
    lab.arm("fixed", alpha=0.0, runs={"adp_auc": about(0.5)}, **HEAD)
    lab.arm("free", runs={"adp_auc": about(free)}, **HEAD)
    lab.arm("other rate", alpha=0.1, runs={"adp_auc": about(0.01)}, **HEAD)
    (found,) = lab.judge("A4")
    assert found.verdict == verdict
    ((contrast,),) = found.contrasts.values()
    assert (contrast.name, contrast.estimate.pairs) == ("free − fixed", 5)
    assert contrast.estimate.value == pytest.approx(free - 0.5)


def test_another_sigma_is_another_experiment(lab, about):
    lab.arm("fixed", alpha=0.0, head_init="normal", head_sigma=1.0, runs={"adp_auc": about(0.5)})
    lab.arm("free", head_init="normal", head_sigma=1.0, runs={"adp_auc": about(0.7)})
    assert lab.verdict("A4") == "not run"
