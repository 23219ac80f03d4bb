"""Draws of a few images of each class."""

import torch

from fastpipe.similarity.sampling import drawn_per_class

LABELS = torch.randint(0, 5, (400,), generator=torch.Generator().manual_seed(0))


def test_so_many_of_each_class_or_all_of_a_small_one():
    labels = torch.cat([LABELS, torch.tensor([7, 7])])
    drawn = drawn_per_class(labels, 9, "digits", "train")
    assert torch.bincount(labels[drawn]).tolist() == [9] * 5 + [0, 0, 2]
    assert drawn.dtype == torch.bool and len(drawn) == 402


def test_without_a_number_all_are_drawn():
    assert drawn_per_class(LABELS, None, "digits").all()


def test_more_images_hold_those_that_were_drawn_before():
    few, many = (drawn_per_class(LABELS, number, "digits") for number in (3, 20))
    assert (many[few]).all() and many.sum() == 100


def test_the_name_decides():
    draws = [drawn_per_class(LABELS, 9, name) for name in ("digits", "digits", "letters")]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_every_image_has_the_same_chance():
    labels = torch.tensor([0] * 10 + [1] * 20)
    times = sum(drawn_per_class(labels, 5, str(draw)).int() for draw in range(2000))
    expected = torch.tensor([1000.0] * 10 + [500.0] * 20)
    assert (abs(times - expected) < 5 * 22.4).all()  # five standard deviations at most
