"""L2 and L2-SP at the settings that are best by validation (Li et al. 2020, section 3.4)."""

from fastpipe.reporting.drawing.text import number
from fastpipe.reporting.grids import TRIED, best
from fastpipe.reporting.tables import Row

__all__ = ["ABSENT", "NAMES", "TUNED_REGULARISERS", "setting"]

NAMES = {"l2": "L2", "l2-sp": "L2-SP"}
ABSENT = "No study has arms with both regularisers."

TUNED_REGULARISERS = f"""{TRIED},
    {best("chosen", "regulariser", where="NOT scratch")},
    both_kinds AS (
        SELECT study FROM chosen GROUP BY study HAVING count(DISTINCT regulariser) > 1
    ),
    tuned AS (
        FROM tried SEMI JOIN both_kinds USING (study)
        SEMI JOIN chosen USING (study, source, epoch, target, scratch, regulariser, recipe)
    )"""
"""`tuned`: the runs of the best recipe of each regulariser on each pair."""


def setting(row: Row) -> str:
    """ "η = 0.01, λ = 0.1", with λ1 for L2-SP."""
    letter = "λ1" if row["regulariser"] == "l2-sp" else "λ"
    return f"η = {number(row['alpha'])}, {letter} = {number(row['lambda'])}"
