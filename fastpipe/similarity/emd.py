"""Domain similarity: how far one domain's classes must travel to become another's.

Li et al., "Rethinking the Hyperparameters for Fine-tuning" (ICLR 2020), appendix B, after Cui et
al. (CVPR 2018), section 4.1. Given two domains S = {(sᵢ, wᵢ)} and T = {(tⱼ, vⱼ)}, classes at
their mean features s, t with weights w, v (their shares of the images), sought is the flow f ≥ 0
with Σⱼ fᵢⱼ = wᵢ and Σᵢ fᵢⱼ = vⱼ that minimises Σ fᵢⱼ dᵢⱼ, where dᵢⱼ = ‖sᵢ − tⱼ‖₂, unsquared. Then

    d(S, T) = Σ fᵢⱼ dᵢⱼ    (eq. 3; Σ f = 1)        sim(S, T) = exp(−γ d(S, T))    (eq. 4).

The minimum is exact: POT's network simplex, in float64.
"""

import os
import sys
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastpipe.errors import UserError

__all__ = ["DomainSimilarity", "domain_similarity"]

_OPTIMAL = 1  # POT's result code of a solve that ended at the optimum
_PIVOTS_PER_CELL = 10  # pivots granted per possible flow; random problems need well below 1
_LEAST_PIVOTS = 1_000_000


class DomainSimilarity(NamedTuple):
    """Distance and similarity of two domains, and which classes serve which."""

    distance: float
    """Earth mover's distance d, in units of the features."""
    similarity: float
    """exp(−γ d), in (0, 1]."""
    flow: NDArray[np.float64]
    """[source classes, target classes], sums to 1; a dropped class has a row or column of 0."""


def domain_similarity(
    source_means: ArrayLike,
    source_counts: ArrayLike,
    target_means: ArrayLike,
    target_counts: ArrayLike,
    gamma: float = 0.01,
    min_count: int = 0,
) -> DomainSimilarity:
    """Exact earth mover's distance between two domains' class means, and its similarity.

    Args:
        source_means: mean feature of each source class, [N_s, D].
        source_counts: images of each source class, [N_s]; they become weights that sum to 1.
        target_means: the same of the target, [N_t, D].
        target_counts: [N_t].
        gamma: γ ≥ 0 of exp(−γ d).
        min_count: classes with fewer images are left out, before the weights are normalised. A
            class without images never counts.

    Raises:
        UserError: a domain is empty or has no class left, shapes do not fit together, a mean
            of a class that counts is not finite, a count is negative or not finite, or
            the solver does not reach the optimum.
    """
    if not (np.isfinite(gamma) and gamma >= 0):
        raise UserError(f"gamma must be a finite number of at least 0, not {gamma}")
    source = _Domain.of("source", source_means, source_counts, min_count)
    target = _Domain.of("target", target_means, target_counts, min_count)
    if source.means.shape[1] != target.means.shape[1]:
        raise UserError(
            f"the source's class means have {source.means.shape[1]} features, the target's "
            f"{target.means.shape[1]}: compute both with the same snapshot"
        )
    costs = _distances(source.means, target.means)
    inner = _optimal_flow(source.weights, target.weights, costs)
    distance = float((inner * costs).sum())
    flow = np.zeros((len(source.kept), len(target.kept)))
    flow[np.ix_(source.kept, target.kept)] = inner
    return DomainSimilarity(distance, float(np.exp(-gamma * distance)), flow)


class _Domain(NamedTuple):
    means: NDArray[np.float64]  # [kept classes, D]
    weights: NDArray[np.float64]  # [kept classes], sums to 1
    kept: NDArray[np.bool_]  # [all classes]

    @classmethod
    def of(cls, who: str, means: ArrayLike, counts: ArrayLike, min_count: int) -> "_Domain":
        means, counts = np.asarray(means, np.float64), np.asarray(counts, np.float64)
        _check_shapes(who, means, counts)
        if not np.isfinite(counts).all() or (counts < 0).any():
            raise UserError(f"the {who}'s class counts must be finite and at least 0: {counts}")
        kept = (counts > 0) & (counts >= min_count)
        if not kept.any():
            raise UserError(
                f"no class of the {who} is left: the largest has {counts.max():g} images and "
                f"min_count is {min_count}. Lower min_count."
            )
        bad = np.flatnonzero(kept & ~np.isfinite(means).all(1))
        if bad.size:
            raise UserError(
                f"the {who}'s means are not finite for class {bad[0]} ({bad.size} in all): the "
                "network that computed them has diverged"
            )
        return cls(means[kept], counts[kept] / counts[kept].sum(), kept)


def _check_shapes(who: str, means: NDArray[np.float64], counts: NDArray[np.float64]) -> None:
    if means.ndim != 2 or not means.size:
        raise UserError(f"the {who}'s means must be classes × features, not {means.shape}")
    if counts.shape != means.shape[:1]:
        raise UserError(f"the {who} has {len(means)} class means but counts {counts.shape}")


def _distances(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """‖sᵢ − tⱼ‖₂, [N_s, N_t], from differences: √(s² + t² − 2st) loses near-identical points."""
    from scipy.spatial.distance import cdist

    scale = max(np.abs(source).max(), np.abs(target).max()) or 1.0  # squares must not overflow
    return cdist(source / scale, target / scale) * scale


def _optimal_flow(
    weights: NDArray[np.float64], others: NDArray[np.float64], costs: NDArray[np.float64]
) -> NDArray[np.float64]:
    pivots = max(_LEAST_PIVOTS, _PIVOTS_PER_CELL * costs.size)
    # The solver compares costs with absolute tolerances, so it is given costs of order 1.
    scaled = costs / (costs.max() or 1.0)
    with warnings.catch_warnings():  # what POT warns of is raised below
        warnings.simplefilter("ignore")
        flow, log = _pot_emd()(weights, others, scaled, numItermax=pivots, log=True)
    if log["result_code"] != _OPTIMAL:
        raise UserError(
            f"the optimal flow between {len(weights)} and {len(others)} classes was not found: "
            f"{log['warning'] or 'unknown reason'} (POT's network simplex, {pivots} pivots)"
        )
    return flow


def _pot_emd() -> Callable:
    """`ot.lp.emd`, without importing torch for POT's sake (half of this stage's time) where
    nothing else has."""
    switch = "POT_BACKEND_DISABLE_PYTORCH"
    if "ot" in sys.modules or "torch" in sys.modules or switch in os.environ:
        from ot.lp import emd
    else:
        os.environ[switch] = "1"
        try:
            from ot.lp import emd
        finally:
            del os.environ[switch]
    return emd
