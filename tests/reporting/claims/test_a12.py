"""A12: no gradient for the body at first, then motion in proportion to αβ."""

import pytest

NEAR_ZERO = {"head_init": "normal", "head_sigma": 1e-8}
WOBBLE = (0.98, 0.99, 1.0, 1.01, 1.02)


def arms(lab, power: float, gradient: float = 1e-7, rates=((0.1, 0.01), (0.1, 0.1), (0.2, 0.2))):
    for alpha, beta in rates:
        label = f"{alpha} {beta}"
        lab.arm(label, alpha=alpha, beta=beta, **NEAR_ZERO)
        moved = [5 * wobble * (alpha * beta) ** (power * wobble) for wobble in WOBBLE]
        lab.measure("dynamics", label, step=1, feature_gradient=gradient, body_update=0.0)
        lab.measure("dynamics", label, step=3, feature_gradient=1.0, body_update=moved)


@pytest.mark.parametrize(
    ("power", "gradient", "verdict"),
    [
        (1.0, 1e-7, "supported"),
        (1.3, 1e-7, "contradicted"),
        (0.5, 1e-7, "contradicted"),
        (1.09, 1e-7, "inconclusive"),
        (1.0, 1e-3, "contradicted"),
    ],
)
def test_gradient_and_slope(lab, power, gradient, verdict):
    arms(lab, power, gradient)
    (found,) = lab.judge("A12")
    assert found.verdict == verdict
    ((*contrasts,),) = found.contrasts.values()
    assert [one.exact for one in contrasts] == [True, True, True, False]
    slope = contrasts[-1].estimate
    assert contrasts[-1].name == "ln ‖Δθ‖ against ln αβ, 3 products αβ"
    assert slope.pairs == 5
    assert slope.value == pytest.approx(power)


def test_one_product_of_rates_has_no_slope(lab):
    arms(lab, 1.0, rates=((0.1, 0.01), (0.01, 0.1)))
    (found,) = lab.judge("A12")
    assert found.verdict == "not run"
    ((*contrasts,),) = found.contrasts.values()
    assert contrasts[-1].name == "no runs for this part"


@pytest.mark.parametrize(
    "change",
    [
        {"optimiser": "adam"},
        {"momentum_form": "ema"},
        {"warmup": "frozen-stats"},
        {"weight_decay": 0.1},
    ],
)
def test_other_optimisers_give_no_slope(lab, change):
    arms(lab, 1.0)
    for name, value in change.items():
        lab.execute(f"UPDATE recipes SET {name} = '{value}'")
    assert lab.verdict("A12") == "not run"
