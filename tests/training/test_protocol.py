import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpipe.training.protocol import deployment_steps, validation_steps


def test_validation_gaps_grow_to_ten_and_stay():
    assert validation_steps(80) == [1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 65, 75, 80]


def test_deployment_steps_are_fibonacci_without_the_second_one():
    assert deployment_steps(100) == [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 100]


@pytest.mark.parametrize(
    ("total", "validations", "deployments"),
    [
        (1, [1], [0, 1]),
        (2, [1, 2], [0, 1, 2]),
        (3, [1, 3], [0, 1, 2, 3]),
        (4, [1, 3, 4], [0, 1, 2, 3, 4]),
        (5, [1, 3, 5], [0, 1, 2, 3, 5]),
        (55, [1, 3, 6, 10, 15, 21, 28, 36, 45, 55], [0, 1, 2, 3, 5, 8, 13, 21, 34, 55]),
    ],
)
def test_short_runs_end_with_their_last_step_once(total, validations, deployments):
    assert validation_steps(total) == validations
    assert deployment_steps(total) == deployments


@given(st.integers(1, 5000))
def test_schedules_are_those_of_a_longer_run_cut_short(total):
    longer = total + 37
    for schedule in (validation_steps, deployment_steps):
        steps = schedule(total)
        assert steps[-1] == total
        assert steps == sorted(set(steps))
        assert steps[:-1] == [step for step in schedule(longer)[:-1] if step < total]


@pytest.mark.parametrize("schedule", [validation_steps, deployment_steps])
def test_a_run_without_steps_is_refused(schedule):
    with pytest.raises(ValueError, match="at least 1 step, not 0"):
        schedule(0)
