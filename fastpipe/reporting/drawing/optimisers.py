"""FAST and baselines under one optimiser (FAST, section 6.6): what several exhibits share."""

from collections.abc import Sequence

import altair as alt

from fastpipe.reporting.drawing.adp import draw_adp
from fastpipe.reporting.drawing.queries import bands, chosen
from fastpipe.reporting.drawing.text import init_label, rates_label
from fastpipe.reporting.tables import Row

__all__ = ["PANEL", "by_source_query", "draw_by_source", "method_label", "source_title"]

PANEL = ("setting_source", "target")
_MARKS = {"kaiming-fan-in": "f/i", "kaiming-fan-out": "f/o"}


def by_source_query(where: str) -> str:
    """ADP of the arms that `where` selects; sources with skip connections come first."""
    return f"""
        WITH {chosen(f"{where} AND warmup = 'none' AND momentum_form = 'torch'")}
        {bands("adp")}
        ORDER BY study, skips DESC, setting_source, target, position, step
    """


def source_title(row: Row) -> str:
    """The target, from which source."""
    kind = {True: " (with skip connections)", False: " (without skip connections)"}
    return f"{row['target']} from {row['setting_source']}{kind.get(row['skips'], '')}"


def method_label(row: Row) -> str:
    """Rates and first head, as in the paper's legends."""
    if row["role"] == "fast":
        return f"FAST, {rates_label(row)}"
    return f"{rates_label(row)}, {_MARKS.get(row['head_init'], init_label(row))}"


def draw_by_source(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart:
    """ADP for each arm; tooltips say the rates, which may differ from source to source."""
    return draw_adp([row | {"detail": method_label(row)} for row in rows], arms)
