"""What a claim is: a sentence of a paper, turned into queries and named statistics."""

from dataclasses import dataclass
from typing import Literal

from fastpipe.reporting.statistics import Statistic

__all__ = ["Claim", "Part", "Unit"]

Unit = Literal[
    "points", "area", "distance", "ratio", "slope", "deviation", "correlation", "decades"
]


@dataclass(frozen=True)
class Part:
    """One measurement of a claim; most claims have one."""

    statistic: Statistic
    unit: Unit
    """How to print it: accuracy in percentage points, ADP-AUC, feature distance, a ratio, a slope,
    the deviation from an exact value, a correlation (or concordance), or powers of ten."""
    query: str
    """SQL over the study's tables giving study, source, epoch, target, contrast, seed and `value`
    (or `x` and `y`): one row for each pair of runs, on the paper's side of the statistic's
    reference if the paper is right, NULL where a value is missing. `source` and `epoch` may be NULL
    where a comparison spans several. Rows of studies that do not list the claim are dropped."""
    fewest_pairs: int = 3
    """Pairs that every contrast must have; with fewer the claim counts as not run."""


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper that runs of ours can support, contradict or leave open."""

    id: str
    paper: str
    """Short name of the paper."""
    section: str
    """Where it stands there."""
    title: str
    """The claim in a few words, for someone who has not read the paper."""
    says: str
    """What the paper says: a short quotation, or its number."""
    measured: str
    """What is computed for each pair, in words, and which side is the paper's."""
    parts: tuple[Part, ...]
    exhibits: tuple[str, ...]
    """Ids of exhibits that show it, the best first."""
