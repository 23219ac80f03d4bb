"""Rates against torch's own schedulers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from fastpipe.training.schedules import rate_factor

TOTAL = 30
CASES = {
    "constant": ({}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
    "step": (
        {"milestones": (0.5, 0.833333), "decay_factor": 0.1},
        lambda o: lr_scheduler.MultiStepLR(o, [15, 25], gamma=0.1),
    ),
    "cosine": ({}, lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=TOTAL)),
    "exponential": (
        {"decay_factor": 0.01},
        lambda o: lr_scheduler.ExponentialLR(o, gamma=0.01 ** (1 / (TOTAL - 1))),
    ),
}


@pytest.mark.parametrize("schedule", CASES)
def test_rates_are_those_of_torchs_schedulers(schedule):
    options, build = CASES[schedule]
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=0.3)
    scheduler = build(optimiser)
    theirs = []
    for _ in range(TOTAL):
        theirs.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    ours = [0.3 * rate_factor(step, TOTAL, schedule, **options) for step in range(1, TOTAL + 1)]
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_a_milestone_lies_between_two_updates():
    def factor(step):
        return rate_factor(step, 150, "step", milestones=(0.5, 0.833333), decay_factor=0.1)

    assert [factor(step) for step in (1, 75, 76, 125, 126, 150)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


def test_exponential_ends_with_its_factor():
    assert rate_factor(100, 100, "exponential", decay_factor=0.02) == pytest.approx(0.02)
    assert rate_factor(1, 1, "exponential", decay_factor=0.02) == 1


@given(st.sampled_from(sorted(CASES)), st.integers(1, 400), st.integers(1, 500))
def test_rates_never_rise_and_stay_above_zero(schedule, total, step):
    options, _ = CASES[schedule]
    here, later = (rate_factor(s, total, schedule, **options) for s in (step, step + 1))
    assert 0 <= later <= here <= 1
    assert step > total or here > 0
