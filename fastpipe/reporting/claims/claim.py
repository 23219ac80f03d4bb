"""What a claim is: a sentence of a paper, turned into a query and a statistic."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Claim"]


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper that runs of ours can support, contradict or leave open."""

    id: str
    title: str
    """The claim in a few words, for someone who has not read the paper."""
    source: str
    """Where it stands."""
    statistic: str
    """What is computed for each seed, in words, and which side is the paper's."""
    unit: Literal["points", "area", "distance"]
    """How to print the difference: accuracy in percentage points, ADP-AUC, or feature distance."""
    exhibit: str
    """Id of the exhibit that shows it."""
    query: str
    """SQL over the study's tables giving source, epoch, target, contrast, seed, difference: one
    row for each pair of runs, positive on the paper's side, NULL where a value is missing."""
    min_pairs: int = 3
    """Pairs that every contrast must have; with fewer the claim counts as not run."""
