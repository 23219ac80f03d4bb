"""Augmentation policies (Li et al. 2020, appendix E): their names, and what curves compare."""

from fastpipe.reporting.drawing.learning import curves_query
from fastpipe.reporting.drawing.text import number
from fastpipe.reporting.tables import Row

__all__ = ["ABSENT", "PANEL", "PLACE", "POLICY", "policy_curves", "policy_title"]

POLICY = """CASE crop WHEN 'resized' THEN 'resized crop' WHEN 'random' THEN 'random crop'
        ELSE CASE WHEN flip THEN 'mirrored' ELSE 'as they are' END END
    || CASE WHEN flip AND crop <> 'none' THEN ', mirrored' ELSE '' END
    || CASE WHEN colour_jitter > 0 THEN ', jitter' ELSE '' END"""
"""SQL: what is done to training images, a text."""

PLACE = """CASE crop WHEN 'resized' THEN 0 WHEN 'random' THEN 10 ELSE 20 END
    + CASE WHEN flip THEN 0 ELSE 1 END + CASE WHEN colour_jitter > 0 THEN 0 ELSE 2 END"""
"""SQL: its place, the strongest first."""

ABSENT = "No study compares ways to augment."
PANEL = ("setting_source", "target", "momentum")

_RATES = f"""policies AS (SELECT *, {POLICY} AS policy FROM tried WHERE NOT scratch),
        shared AS (
            -- The smallest learning rate that every policy has with every momentum.
            SELECT study, source, epoch, min(alpha) AS alpha
            FROM (
                SELECT study, source, epoch, alpha, count(DISTINCT (policy, momentum)) AS own,
                    max(own) OVER (PARTITION BY study, source, epoch) AS most,
                    count(DISTINCT policy) AS several
                FROM policies WHERE elr IS NOT NULL GROUP BY study, source, epoch, alpha)
            WHERE own = most AND several > 1
            GROUP BY ALL
        ),
        ends AS (
            SELECT study, source, epoch, target,
                similarity IN (max(similarity) OVER own, min(similarity) OVER own) AS at_end
            FROM (SELECT DISTINCT study, source, epoch, target FROM policies)
            JOIN similarity USING (source, epoch, target)
            WINDOW own AS (PARTITION BY study, source, epoch)
        ),"""


def policy_curves(where: str) -> str:
    """Learning curves by policy of the targets that `where` selects from `ends`."""
    return curves_query(
        POLICY, PLACE, "momentum", "alpha", before=_RATES,
        where=f"""NOT scratch
            AND (study, source, epoch, alpha) IN (SELECT (study, source, epoch, alpha) FROM shared)
            AND {where}""",
    )  # fmt: skip


def policy_title(row: Row) -> str:
    """Target, momentum and learning rate of a panel."""
    return f"{row['target']}: m = {row['momentum']:g}, η = {number(row['alpha'])}"
