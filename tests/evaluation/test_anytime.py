"""Anytime deployment against a literal reading of its definition, and ADP-AUC by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpipe.evaluation.anytime import adp_auc, deployed_steps


def literal_deployed_step(validations, checkpoint):
    """Part A, word by word: at τ = 0 the initial state; else the state with the best validation
    score among validations at steps ≤ τ, the earlier one on ties."""
    if checkpoint == 0:
        return 0
    candidates = [(step, top1) for step, top1 in validations if step <= checkpoint]
    if not candidates:
        return 0
    best = max(top1 for _, top1 in candidates)
    return min(step for step, top1 in candidates if top1 == best)


scores = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(scores, st.lists(st.integers(1, 9), min_size=40, max_size=40))
def test_deployed_steps_are_the_literal_definitions(top1, gaps):
    validations = list(zip(np.cumsum(gaps).tolist(), top1, strict=False))
    checkpoints = range(validations[-1][0] + 3)
    assert deployed_steps(validations, checkpoints) == {
        checkpoint: literal_deployed_step(validations, checkpoint) for checkpoint in checkpoints
    }


def test_the_protocols_schedules():
    validations = [(1, 0.2), (3, 0.5), (6, 0.4), (10, 0.5), (15, 0.7), (20, 0.6)]
    assert deployed_steps(validations, [0, 1, 2, 3, 5, 8, 13, 20]) == {
        0: 0, 1: 1, 2: 1, 3: 3, 5: 3, 8: 3, 13: 3, 20: 15,
    }  # fmt: skip


def test_the_initial_state_is_no_candidate_later():
    assert deployed_steps([(1, 0.0)], [0, 1]) == {0: 0, 1: 1}


def test_a_score_that_is_not_a_number_is_never_best():
    assert deployed_steps([(1, math.nan), (2, 0.1), (3, math.nan)], [1, 2, 3]) == {1: 0, 2: 2, 3: 2}


@pytest.mark.parametrize("steps", [[0], [2, 2], [3, 1], [-1]])
def test_validation_steps_must_count_up_from_one(steps):
    with pytest.raises(ValueError, match="steps count up from 1"):
        deployed_steps([(step, 0.5) for step in steps], [5])


def test_checkpoints_are_not_negative():
    with pytest.raises(ValueError, match="checkpoint -1 is below 0"):
        deployed_steps([(1, 0.5)], [-1])


def test_area_by_hand():
    # log 2 at mean 0.3, then log 4 at mean 0.6, over log 8
    by_hand = (0.3 * math.log(2) + 0.6 * math.log(4)) / math.log(8)
    assert adp_auc([0, 1, 2, 8], [0.9, 0.2, 0.4, 0.8]) == pytest.approx(by_hand, rel=1e-12)


def test_area_is_numpys_trapezoid():
    rng = np.random.default_rng(0)
    steps = np.unique(np.append(1, rng.integers(1, 500, 20)))
    top1 = rng.random(len(steps))
    area = np.trapezoid(top1, np.log(steps)) / np.log(steps[-1])
    assert adp_auc(steps.tolist(), top1.tolist()) == pytest.approx(area, rel=1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_area_is_a_mean_of_the_scores(top1):
    steps = [*range(1, len(top1)), 400]
    area = adp_auc(steps, top1)
    assert min(top1) - 1e-12 <= area <= max(top1) + 1e-12


def test_a_checkpoint_on_the_line_does_not_matter():
    between = 0.2 + 0.6 * math.log(3) / math.log(10)
    assert adp_auc([1, 3, 10], [0.2, between, 0.8]) == pytest.approx(adp_auc([1, 10], [0.2, 0.8]))


def test_one_step_only():
    assert adp_auc([0, 1], [0.1, 0.4]) == 0.4


@pytest.mark.parametrize(
    ("steps", "top1", "message"),
    [
        ([1, 2], [0.5], "2 steps but 1 scores"),
        ([0, 2, 3], [0.1, 0.2, 0.3], "the axis starts at step 1"),
        ([0], [0.1], "the axis starts at step 1"),
        ([], [], "the axis starts at step 1"),
        ([1, 3, 2], [0.1, 0.2, 0.3], "steps do not increase"),
        ([1, 1], [0.1, 0.2], "steps do not increase"),
    ],
)
def test_bad_axes_are_refused(steps, top1, message):
    with pytest.raises(ValueError, match=message):
        adp_auc(steps, top1)
