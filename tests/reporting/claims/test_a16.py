"""A16: fifty steps to a foreign target."""

import pytest


def arms(lab, about, small: tuple[float, float], large: tuple[float, float] = (0.8, 0.12)):
    for label, sigma, (learned, kept) in (("small", 1e-8, small), ("large", 1.0, large)):
        lab.arm(label, head_init="normal", head_sigma=sigma)
        for step, shift in ((34, 0.0), (55, -0.5)):  # what comes later does not matter
            for table, value in (("adp", learned), ("forgetting", kept)):
                top1 = about(value + shift, 1e-3)
                lab.measure(table, label, step=step, deployed_step=step, top1=top1)


@pytest.mark.parametrize(
    ("small", "verdict"),
    [
        ((0.96, 0.4), "supported"),
        ((0.85, 0.4), "contradicted"),  # not high
        ((0.96, 0.03), "contradicted"),  # below chance, 1/20
        ((0.96, 0.11), "contradicted"),  # less kept than from the large head
        ((0.70, 0.4), "contradicted"),
        ((0.90, 0.4), "inconclusive"),  # exactly 90 %
    ],
)
def test_all_four_contrasts(lab, about, small, verdict):
    arms(lab, about, small)
    (found,) = lab.judge("A16")
    assert found.verdict == verdict
    ((*contrasts,),) = found.contrasts.values()
    learned, kept = small
    assert {one.name: pytest.approx(one.estimate.value) for one in contrasts} == {
        "target: small − large": learned - 0.8,
        "target: small − 90 %": pytest.approx(learned - 0.9, abs=1e-12),
        "source: small − chance": kept - 0.05,
        "source: small − large": kept - 0.12,
    }
