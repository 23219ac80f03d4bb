"""Gradient descent with Nesterov's momentum on a quadratic bowl: exact paths, by recursion.

Li et al., "Rethinking the Hyperparameters for Fine-tuning" (ICLR 2020), equations 1 and 2 without
weight decay, on ℓ(θ) = ½ Σ cᵢ θᵢ².
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["contour", "nesterov_path", "steps_to_stay"]


def nesterov_path(
    start: Sequence[float], curvatures: Sequence[float], lr: float, momentum: float, steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions θ₀, θ₁, … and velocities v₀ = 0, v₁, …, each float64 [steps + 1, dimensions].

    v ← m v − η ∇ℓ(θ + m v), θ ← θ + v. Where software evaluates the gradient, and calls the
    parameters, is θ + m v.

    Args:
        start: θ₀.
        curvatures: c, one for each dimension.
        lr: η.
        momentum: m.
        steps: updates.
    """
    c = np.asarray(curvatures, dtype=np.float64)
    positions = np.empty((steps + 1, len(c)))
    velocities = np.zeros_like(positions)
    positions[0] = start
    for t in range(steps):
        ahead = positions[t] + momentum * velocities[t]
        velocities[t + 1] = momentum * velocities[t] - lr * c * ahead
        positions[t + 1] = positions[t] + velocities[t + 1]
    return positions, velocities


def steps_to_stay(positions: NDArray[np.float64], radius: float) -> int | None:
    """The first step from which a path stays within a radius of the minimum; none if it ends
    outside."""
    outside = np.flatnonzero(np.linalg.norm(positions, axis=1) > radius)
    first = int(outside[-1]) + 1 if len(outside) else 0
    return first if first < len(positions) else None


def contour(level: float, curvatures: Sequence[float], points: int = 90) -> NDArray[np.float64]:
    """A closed curve along which the loss is `level`, float64 [points + 1, 2]."""
    angles = np.linspace(0, 2 * np.pi, points + 1)
    axes = np.sqrt(2 * level / np.asarray(curvatures, dtype=np.float64))
    return np.column_stack([np.cos(angles), np.sin(angles)]) * axes
