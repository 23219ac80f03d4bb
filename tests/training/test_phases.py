import pytest

from fastpipe.training.phases import images_gained, warmup_end
from fastpipe.training.protocol import validation_steps


def end(*correct, images=100, gain=0.01, patience=10, steps=None):
    """End of warm-up for these counts at the protocol's validations."""
    steps = steps or validation_steps(1000)
    pairs = zip(steps, correct, strict=False)
    return warmup_end(pairs, images=images, gain=gain, patience=patience)


def test_no_validation_yet_is_no_end():
    assert end() is None


def test_never_better_than_the_first_ends_at_the_first_validation_ten_steps_later():
    # Validations 1, 3, 6, 10, 15: 10 is only 9 steps after 1.
    assert end(50, 50, 50, 50) is None
    assert end(50, 50, 50, 50, 50) == 15


def test_exactly_ten_steps_are_enough():
    assert end(50, 50, steps=[5, 15]) == 15
    assert end(50, 50, steps=[5, 14]) is None


def test_one_more_image_of_a_hundred_is_one_point_and_starts_the_count_again():
    # Improved at 10, so 15 (5 later) goes on and 21 (11 later) ends.
    assert end(50, 50, 50, 51, 51) is None
    assert end(50, 50, 50, 51, 51, 51) == 21


def test_improving_at_the_very_validation_that_would_end_it_goes_on():
    assert end(50, 50, 50, 50, 51) is None


def test_small_gains_add_up_to_an_improvement():
    # 200 images: one point is two images; judged against the last improvement, not the last value.
    assert end(100, 100, 100, 101, 102, 102, images=200) is None
    assert end(100, 100, 100, 101, 101, images=200) == 15


def test_a_fall_and_recovery_is_no_improvement():
    assert end(50, 20, 30, 40, 50) == 15


def test_it_ends_once_whatever_comes_later():
    assert end(50, 50, 50, 50, 50, 99, 99) == 15


def test_patience_and_gain_are_the_recipes():
    assert end(50, 50, 50, patience=5) == 6
    assert end(50, 54, 54, 54, 54, gain=0.05) == 15


@pytest.mark.parametrize(
    ("gain", "images", "needed"),
    [(0.01, 700, 7), (0.01, 701, 8), (0.01, 72, 1), (0.01, 5, 1), (0.07, 100, 7), (1.0, 9, 9)],
)
def test_points_become_whole_images_exactly(gain, images, needed):
    assert images_gained(gain, images) == needed
