"""From paired differences to a verdict. Every claim is judged by these functions and no others.

A claim is tested in one or more *settings* (a source, its last snapshot and a target); in each
it makes one or more *contrasts* (for example FAST against each baseline), and needs all of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from scipy import special

__all__ = ["Judgement", "Paired", "Verdict", "combine", "holm", "judge", "paired_difference"]

Verdict = Literal["supported", "contradicted", "inconclusive", "not run"]

LEVEL = 0.05
PAIRS_FOR_BOOTSTRAP = 10
RESAMPLES = 9_999

Setting = TypeVar("Setting")


@dataclass(frozen=True)
class Paired:
    """Differences paired by seed, summarised. Positive is the paper's side."""

    pairs: int
    mean: float | None
    low: float | None
    """Lower end of the 95 % Student-t interval of the mean; None with fewer than two pairs."""
    high: float | None
    effect_size: float | None
    """Mean over standard deviation (Cohen's d_z); None if the differences are all the same."""
    p: float | None
    """Two-sided p of "the mean is 0"; None if undefined: fewer than two pairs, or all zero."""
    bootstrap_low: float | None = None
    """Lower end of the 95 % BCa bootstrap interval; None with fewer than ten pairs."""
    bootstrap_high: float | None = None


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim in one setting."""

    verdict: Verdict
    p: float | None
    """p before correction: the largest of the contrasts if all lie on the paper's side."""
    p_holm: float | None
    """p after Holm's correction over all claims and settings of the study."""


def paired_difference(differences: Sequence[float]) -> Paired:
    """Mean of paired differences with its 95 % interval (Student's t), effect size and p.

    Differences that are all the same and not zero have p = 0, the limit of t as their spread
    vanishes; all zero, p is undefined. Raises ValueError for a difference that is not finite.
    """
    values = np.asarray(differences, dtype=float)
    if not np.isfinite(values).all():
        raise ValueError(f"differences must be finite, got {list(differences)}")
    n = len(values)
    if n < 2:
        return Paired(n, float(values[0]) if n else None, None, None, None, None)
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    if math.isclose(deviation, 0.0, abs_tol=1e-12 * max(1.0, abs(mean))):
        return Paired(n, mean, mean, mean, None, 0.0 if abs(mean) > 1e-12 else None)
    error = deviation / math.sqrt(n)
    half = float(special.stdtrit(n - 1, 1 - LEVEL / 2)) * error
    p = float(2 * special.stdtr(n - 1, -abs(mean / error)))
    low, high = _bootstrap(values) if n >= PAIRS_FOR_BOOTSTRAP else (None, None)
    return Paired(n, mean, mean - half, mean + half, mean / deviation, p, low, high)


def _bootstrap(values: np.ndarray) -> tuple[float, float]:
    """BCa interval (Efron 1987); the same values always give the same interval."""
    from scipy import stats  # slow to import, and rarely needed

    result = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=RESAMPLES, rng=np.random.default_rng(0)
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def judge(
    contrasts: Mapping[Setting, Sequence[Paired]], min_pairs: Mapping[Setting, int]
) -> dict[Setting, Judgement]:
    """Verdicts on all claims and settings of a study together, Holm-corrected over them.

    A setting whose contrasts lack pairs is `not run` and no part of the correction. Where all
    contrasts have their mean on the paper's side, the largest p counts: all must hold (an
    intersection–union test). Otherwise the claim can only be contradicted, by any one of its k
    contrasts on the other side: the smallest p among those counts, times k.
    """
    signed = {
        setting: _signed_p(paired)
        for setting, paired in contrasts.items()
        if paired and all(one.pairs >= max(2, min_pairs[setting]) for one in paired)
    }
    corrected = dict(zip(signed, holm([p for _, p in signed.values()]), strict=True))
    return {
        setting: _judgement(*signed[setting], corrected[setting])
        if setting in signed
        else Judgement("not run", None, None)
        for setting in contrasts
    }


def _signed_p(contrasts: Sequence[Paired]) -> tuple[bool, float]:
    """(on the paper's side, p) of one setting; an undefined p counts as 1."""
    against = [one for one in contrasts if one.mean is not None and one.mean < 0]
    if against:
        return False, min(1.0, len(contrasts) * min(_p(one) for one in against))
    return True, max(_p(one) for one in contrasts)


def _p(contrast: Paired) -> float:
    return 1.0 if contrast.p is None else contrast.p


def _judgement(papers_side: bool, p: float, p_holm: float) -> Judgement:
    if p_holm >= LEVEL:
        return Judgement("inconclusive", p, p_holm)
    return Judgement("supported" if papers_side else "contradicted", p, p_holm)


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict on a claim from its settings: it holds if it holds in all of them."""
    if "contradicted" in verdicts:
        return "contradicted"
    if not verdicts or set(verdicts) == {"not run"}:
        return "not run"
    return "supported" if set(verdicts) == {"supported"} else "inconclusive"
