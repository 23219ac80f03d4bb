"""Scores of transferability against achieved accuracy: rank correlations over targets."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.drawing.transferability import FEWEST_TARGETS, SCORES, scored
from fastpipe.reporting.numbers import interval, plain
from fastpipe.reporting.ranks import COEFFICIENTS, rank_correlations
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

_INFINITE = float("inf")  # read as none; a score that is none was never computed


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """A row for each score."""
    del arms
    by_score: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_score[row["score"]].append(row)
    found = [_numbers(score, own) for score, own in by_score.items()]
    return Table(
        columns=["score", *COEFFICIENTS.values(), "targets", "seconds"],
        rows=[_cells(row) for row in found],
        values=found,
    )


def _numbers(score: str, rows: Sequence[Row]) -> Row:
    agreement = rank_correlations(
        [_INFINITE if row["value"] is None else row["value"] for row in rows],
        [row["accuracy"] for row in rows],
    )
    numbers: Row = {"score": score}
    for name in COEFFICIENTS:
        values = agreement[name] if agreement else (None, None, None)
        numbers |= zip((name, f"{name}_low", f"{name}_high"), values, strict=True)
    seconds = [row["seconds"] for row in rows if row["seconds"] is not None]
    return numbers | {"targets": len(rows), "seconds": fmean(seconds) if seconds else None}


def _cells(row: Row) -> list[str]:
    coefficients = [
        interval(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in COEFFICIENTS
    ]
    seconds = "–" if row["seconds"] is None else plain(row["seconds"])
    return [SCORES.get(row["score"], row["score"]), *coefficients, str(row["targets"]), seconds]


EXHIBIT = Exhibit(
    id="score-ranks",
    place=15,
    short="Scores, ranked",
    title="Which score puts the targets in the right order?",
    lede=(
        "A coefficient of 1: the score orders the targets exactly as the accuracy that fine-tuning "
        "reaches; 0: it knows nothing of it. The weighted τ cares most about the targets "
        "at the top. An interval that spans 0 says that these targets cannot tell."
    ),
    paper=(
        "The scores’ own papers order models for one target, or targets for one model: LogME "
        "(You et al. 2021) by weighted τ, LEEP (Nguyen et al. 2020) by Pearson’s correlation."
    ),
    here=(
        "Rank correlation over targets of each score with the mean test accuracy at the end, for "
        "each target of the recipe that is best on validation images; in brackets the 95 % "
        "percentile interval of a bootstrap over targets. Scores are computed from the features of "
        "training images at the source’s last snapshot; probes are scored on validation images. "
        "Seconds are the mean time to compute a score for one target, features given."
    ),
    query=scored(),
    panel=("setting_source",),
    panel_title=lambda row: f"source {row['setting_source']}",
    draw=draw,
    absent=f"No source has scores and runs on {FEWEST_TARGETS} targets; fewer have no order.",
    legend=False,
    layout="rows",
)
