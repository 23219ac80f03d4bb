"""A2: a smaller head initialisation forgets less, at every checkpoint."""

import pytest


def arms(lab, about, kept: dict[int, float]) -> None:
    for sigma in (1.0, 1e-8):
        lab.arm(f"{sigma:g}", head_init="normal", head_sigma=sigma)
        for step, small in kept.items():
            top1 = about(0.4 if sigma == 1 else small)
            lab.measure("forgetting", f"{sigma:g}", step=step, deployed_step=step, top1=top1)


@pytest.mark.parametrize(
    ("kept", "verdict"),
    [
        ({1: 0.8, 8: 0.7}, "supported"),
        ({1: 0.2, 8: 0.1}, "contradicted"),
        ({1: 0.4, 8: 0.4}, "inconclusive"),
        ({1: 0.8, 8: 0.4}, "inconclusive"),
        ({0: 0.1, 1: 0.8, 8: 0.7}, "supported"),
    ],
)
def test_every_checkpoint_from_one_on(lab, about, kept, verdict):
    arms(lab, about, kept)
    (found,) = lab.judge("A2")
    assert found.verdict == verdict
    ((*contrasts,),) = found.contrasts.values()
    assert [one.name for one in contrasts] == ["step 1: 1e-08 − 1", "step 8: 1e-08 − 1"]
    assert contrasts[1].estimate.value == pytest.approx(kept[8] - 0.4)
