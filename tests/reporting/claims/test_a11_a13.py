"""A11 and A13: what the theory says of the first step, to the digit."""

import math

import pytest

NEAR_ZERO = {"head_init": "normal", "head_sigma": 1e-8}


@pytest.mark.parametrize(
    ("entropy", "error", "verdict"),
    [
        (0.0, 0.0, "supported"),
        (9e-6, -9e-6, "supported"),
        (1.2e-5, 0.0, "contradicted"),
        (0.0, -1.2e-5, "contradicted"),
    ],
)
def test_first_outputs_are_uniform(lab, entropy, error, verdict):
    lab.arm("FAST", **NEAR_ZERO)
    lab.measure("dynamics", "FAST", step=1, entropy=[math.log(10)] * 4 + [math.log(10) + entropy],
                squared_error=0.9 + error)  # fmt: skip
    lab.measure("dynamics", "FAST", step=3, entropy=0.1, squared_error=0.1)
    lab.arm("B", head_sigma=1e-8)
    lab.measure("dynamics", "B", step=1, entropy=1.0, squared_error=1.0)
    (found,) = lab.judge("A11")
    assert found.verdict == verdict
    ((*contrasts,),) = found.contrasts.values()
    assert [one.name for one in contrasts] == [
        "FAST: entropy − ln N", "FAST: ‖y − ŷ‖² − (1 − 1/N)"
    ]  # fmt: skip
    assert contrasts[0].estimate.value == pytest.approx(entropy, abs=1e-12)
    assert contrasts[0].estimate.p is None


@pytest.mark.parametrize(
    ("cosine", "verdict"), [(0.9999, "supported"), (0.9991, "supported"), (0.99, "contradicted")]
)
def test_the_first_head_is_the_class_means(lab, cosine, verdict):
    lab.arm("zeros", head_init="zeros", runs={"prototype_cosine": [1.0, 1.0, cosine, 1.0, 1.0]})
    lab.arm("Adam", optimiser="adam", runs={"prototype_cosine": 0.5}, **NEAR_ZERO)
    lab.arm("1", head_init="normal", head_sigma=1.0, runs={"prototype_cosine": 0.5})
    (found,) = lab.judge("A13")
    assert found.verdict == verdict
    ((contrast,),) = found.contrasts.values()
    assert contrast.estimate.value == cosine


def test_no_run_measured_it(lab):
    lab.arm("FAST", **NEAR_ZERO)
    assert lab.verdict("A13") == "not run"
