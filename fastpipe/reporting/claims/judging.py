"""From estimates to verdicts. Every claim is judged by these functions and no others.

A claim is tested in one or more *settings* (a study, a source at its last snapshot, a target); in
each it makes one or more *contrasts* (for example FAST against each baseline), and needs all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from fastpipe.reporting.statistics import LEVEL, Estimate

__all__ = ["MEANING", "VERDICTS", "Contrast", "Judgement", "Verdict", "combine", "holm", "judge"]

Verdict = Literal["supported", "contradicted", "inconclusive", "not run"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

MEANING: dict[Verdict, str] = {
    "supported": "every comparison lies on the paper's side, and clearly so",
    "contradicted": "at least one lies clearly on the other side",
    "inconclusive": "neither",
    "not run": "runs are missing",
}
"""For people; "clearly" is a Holm-adjusted p below 0.05, or an exact check that holds or fails."""

Setting = TypeVar("Setting")


@dataclass(frozen=True)
class Contrast:
    """One comparison that a claim makes in a setting."""

    name: str
    """What is compared, by the labels of the arms ("FAST − Baseline")."""
    estimate: Estimate
    fewest_pairs: int
    """With fewer pairs the claim counts as not run here."""
    exact: bool = False

    @property
    def ready(self) -> bool:
        """Whether there is enough to judge it by."""
        return self.estimate.value is not None and self.estimate.pairs >= self.fewest_pairs

    @property
    def p(self) -> float:
        """Its p; an undefined one counts as 1."""
        return 1.0 if self.estimate.p is None else self.estimate.p


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim in one setting."""

    verdict: Verdict
    p: float | None
    """p before correction: the largest of the contrasts if all lie on the paper's side. None if
    nothing was tested: not run, or exact checks only."""
    p_holm: float | None
    """p after Holm's correction over all claims and settings of the report."""
    decisive: int | None
    """Place of the contrast that the verdict rests on."""


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def judge(contrasts: Mapping[Setting, Sequence[Contrast]]) -> dict[Setting, Judgement]:
    """Verdicts on all claims and settings of a report together, Holm-corrected over them.

    A setting where an exact check fails is `contradicted`, whatever else. One whose contrasts lack
    pairs is `not run`, and one with exact checks only is `supported`; none of these is part of the
    correction. Where all other contrasts lie on the paper's side, the largest p counts: all must
    hold (an intersection–union test). Otherwise the claim can only be contradicted, by any one of
    its k contrasts on the other side: the smallest p among those counts, times k.
    """
    settled = {setting: _without_chance(own) for setting, own in contrasts.items()}
    tested = {
        setting: _side([(i, one) for i, one in enumerate(own) if not one.exact])
        for setting, own in contrasts.items()
        if settled[setting] is None
    }
    corrected = dict(zip(tested, holm([p for _, p, _ in tested.values()]), strict=True))
    return {
        setting: settled[setting] or _judgement(*tested[setting], corrected[setting])
        for setting in contrasts
    }


def _without_chance(contrasts: Sequence[Contrast]) -> Judgement | None:
    """The judgement, if no test is needed for it."""
    for i, one in enumerate(contrasts):
        if one.exact and one.ready and not one.estimate.holds:
            return Judgement("contradicted", None, None, i)
    if not contrasts or not all(one.ready for one in contrasts):
        return Judgement("not run", None, None, None)
    return Judgement("supported", None, None, 0) if all(one.exact for one in contrasts) else None


def _side(contrasts: Sequence[tuple[int, Contrast]]) -> tuple[bool, float, int]:
    """(on the paper's side, p, place of the contrast it comes from) of one setting."""
    against = [(i, one) for i, one in contrasts if not one.estimate.holds]
    if against:
        place, strongest = min(against, key=lambda item: item[1].p)
        return False, min(1.0, len(contrasts) * strongest.p), place
    place, weakest = max(contrasts, key=lambda item: item[1].p)
    return True, weakest.p, place


def _judgement(papers_side: bool, p: float, place: int, p_holm: float) -> Judgement:
    verdict: Verdict = "supported" if papers_side else "contradicted"
    return Judgement(verdict if p_holm < LEVEL else "inconclusive", p, p_holm, place)


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict on a claim from its settings: it holds if it holds in all of them."""
    if "contradicted" in verdicts:
        return "contradicted"
    if not verdicts or set(verdicts) == {"not run"}:
        return "not run"
    return "supported" if set(verdicts) == {"supported"} else "inconclusive"
