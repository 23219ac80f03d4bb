"""Which targets are similar to a source."""

from fastpipe.reporting.claims.sides import SIDES
from fastpipe.reporting.grids import TRIED


def test_the_median_target_is_on_neither_side(grids):
    likeness = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "e": 0.5}
    for target in likeness:
        grids.runs(target, val=0.5, test=0.5)
    grids.similar("old", likeness | {"unused": 0.1})
    grids.insert("studies", position=0, name="lab", includes=[])
    query = f"WITH {TRIED}, {SIDES} SELECT target, side FROM sides ORDER BY target"
    found = grids._connection.execute(query).fetchall()
    sides = ["similar", "similar", None, "dissimilar", "dissimilar"]
    assert found == list(zip("abcde", sides, strict=True))
