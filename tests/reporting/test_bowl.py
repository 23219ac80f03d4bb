"""Paths on a quadratic bowl: against PyTorch's optimiser, and what the illustration claims."""

import numpy as np
import pytest
import torch

from fastpipe.reporting.drawing.bowl import contour, nesterov_path, steps_to_stay
from fastpipe.reporting.exhibits.c_f2 import CURVATURES, LR, STARTS


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_as_pytorch_whose_parameters_look_ahead(momentum):
    positions, velocities = nesterov_path((-3.0, 2.0), (0.05, 1.0), 0.3, momentum, 50)
    parameters = torch.nn.Parameter(torch.tensor([-3.0, 2.0], dtype=torch.float64))
    optimiser = torch.optim.SGD([parameters], 0.3, momentum=momentum, nesterov=momentum > 0)
    curvatures = torch.tensor([0.05, 1.0], dtype=torch.float64)
    for t in range(51):
        ahead = positions[t] + momentum * velocities[t]
        assert ahead == pytest.approx(parameters.detach().numpy(), rel=1e-12, abs=1e-14)
        optimiser.zero_grad()
        (0.5 * (curvatures * parameters**2).sum()).backward()
        optimiser.step()


def test_without_momentum_each_coordinate_shrinks_by_its_own_factor():
    positions, _ = nesterov_path((-3.0, 2.0), (0.05, 1.0), 0.3, 0.0, 20)
    factors = np.array([1 - 0.3 * 0.05, 1 - 0.3 * 1.0])
    expected = np.array([-3.0, 2.0]) * factors ** np.arange(21)[:, None]
    np.testing.assert_allclose(positions, expected, rtol=1e-12)


def test_a_path_scales_with_its_start():
    near, _ = nesterov_path((-1.0, 0.5), (0.05, 1.0), 0.3, 0.9, 30)
    far, _ = nesterov_path((-10.0, 5.0), (0.05, 1.0), 0.3, 0.9, 30)
    np.testing.assert_allclose(far, 10 * near, rtol=1e-12)


def test_steps_to_stay_counts_from_the_last_time_outside():
    path = np.array([[3.0, 0.0], [0.5, 0.0], [-1.5, 0.0], [0.0, 0.9], [0.0, 0.0]])
    assert steps_to_stay(path, 1.0) == 3
    assert steps_to_stay(path[:3], 1.0) is None
    assert steps_to_stay(path[3:], 1.0) == 0


def test_the_loss_is_the_same_all_along_a_contour():
    points = contour(2.5, (0.05, 1.0))
    np.testing.assert_allclose(0.5 * points**2 @ [0.05, 1.0], 2.5, rtol=1e-12)
    np.testing.assert_allclose(points[0], points[-1], atol=1e-12)


def test_the_illustration_shows_what_it_says():
    def arrival(start: str, momentum: float) -> int:
        path, _ = nesterov_path(STARTS[start], CURVATURES, LR, momentum, 1000)
        return steps_to_stay(path, 0.5)

    assert arrival("far", 0.9) < arrival("far", 0.0)
    assert arrival("near", 0.0) < arrival("near", 0.9)
