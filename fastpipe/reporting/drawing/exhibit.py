"""What an exhibit is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import altair as alt

from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.tables import Row

__all__ = ["Drawing", "Exhibit", "arm_label", "setting_title"]

Drawing = alt.Chart | alt.LayerChart | alt.VConcatChart | Table


def setting_title(row: Row) -> str:
    """The panel's name where panels differ by target."""
    return f"{row['target']}"


def arm_label(row: Row) -> str:
    """The study's own name of an arm."""
    return row["arm"]


@dataclass(frozen=True)
class Exhibit:
    """One figure or table of the report: a query, a panel for each group of rows, a caption."""

    id: str
    """As :func:`fastpipe.config.checks.exhibit_id` derives it from the module's name."""
    short: str
    """Two or three words for the table of contents."""
    title: str
    """The question it answers."""
    lede: str
    """What to look at, in one or two sentences for someone who has not read the paper."""
    paper: str
    """What the paper showed, and in which setting."""
    here: str
    """What is drawn here."""
    query: str
    """SQL over the study's tables; its rows name their `study`."""
    panel: tuple[str, ...]
    """Columns that share their values within one panel."""
    draw: Callable[[Sequence[Row], Sequence[str]], Drawing]
    """(rows of the panel, what colours stand for, in display order) → chart or table."""
    absent: str
    """Why there may be nothing to show."""
    panel_title: Callable[[Row], str] = setting_title
    label: Callable[[Row], str] = arm_label
    """What a legend calls the arm of a row, for example by its rates. Where two arms would share a
    name, or an arm have two, the study's names are used instead."""
    legend: bool = True
    """Whether colours stand for anything."""
    colour: str = "arm"
    """The column that colours stand for. If not arms, its values are texts, and the rows give the
    place of each in the legend as `colour_place`."""
    place: int = 0
    """Where a report draws it that does not say which exhibits to draw; none for a paper's own."""
    layout: Literal["even", "thirds", "wide-narrow", "rows"] = "even"
    """How panels share the width of a desktop; on a phone they follow one another."""

    @property
    def of_paper(self) -> bool:
        """Whether it is an exhibit of a paper (A-F3), which only a study that asks for it draws."""
        return self.id[0].isupper()
