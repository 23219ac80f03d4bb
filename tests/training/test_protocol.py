import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpipe.training.protocol import deployment_steps, looked_at_steps, validation_steps


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


# --- final: what training ends with


def test_final_validations_are_twenty_evenly_spaced():
    assert validation_steps(40, "final") == list(range(2, 41, 2))
    assert validation_steps(150, "final")[:4] == [7, 15, 22, 30]
    assert validation_steps(5, "final") == [1, 2, 3, 4, 5]


@given(st.integers(1, 5000))
def test_final_gaps_differ_by_a_step_at_most_and_end_with_the_last(total):
    steps = validation_steps(total, "final")
    gaps = {later - earlier for earlier, later in zip([0, *steps], steps, strict=False)}
    assert len(steps) == min(20, total) and steps[-1] == total
    assert max(gaps) - min(gaps) <= 1 <= min(gaps)
    assert deployment_steps(total, "final") == [total]


@pytest.mark.parametrize(
    ("total", "looked_at"), [(1, [1]), (2, [1, 2]), (40, [1, 2, 3, *range(4, 41, 2)])]
)
def test_the_first_and_third_updates_are_looked_at_in_any_case(total, looked_at):
    assert looked_at_steps(total, "final") == looked_at
    assert looked_at_steps(total) == validation_steps(total)
