"""Runs that differ in momentum, weight decay and batch size only (Li et al. 2020, Figs 1 and 7)."""

from fastpipe.reporting.drawing.text import number
from fastpipe.reporting.recipes import equal_but
from fastpipe.reporting.tables import Row

__all__ = ["MOMENTA", "REST", "SEVERAL_MOMENTA", "momenta_title"]

REST = equal_but(
    "alpha", "beta", "momentum", "weight_decay", "effective_weight_decay", "batch_size"
)
"""What such runs share."""

_CELL = 'study, source, epoch, target, alpha, "lambda", batch_size'

SEVERAL_MOMENTA = f"""several_momenta AS (
    SELECT {_CELL}, {REST} AS rest
    FROM tried
    WHERE elr IS NOT NULL AND NOT scratch
    GROUP BY {_CELL}, rest HAVING count(DISTINCT momentum) > 2
    QUALIFY 1 = row_number() OVER (PARTITION BY {_CELL} ORDER BY min(place))
)"""
"""Settings of `tried` at which there are three momenta or more."""

MOMENTA = f"""elr IS NOT NULL AND NOT scratch
    AND ({_CELL}, {REST}) IN (SELECT ({_CELL}, rest) FROM several_momenta)"""
"""The runs at these settings."""


def momenta_title(row: Row) -> str:
    """Target, batch size and learning rate of a panel."""
    return f"{row['target']}: batches of {row['batch_size']}, η = {number(row['alpha'])}"
