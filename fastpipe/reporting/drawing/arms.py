"""Colour by arm, or by another column, and the choice that a legend makes."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from fastpipe.reporting.theme import ARM_COLOURS

__all__ = ["DASHES", "arm_colour", "arm_dash", "pick", "picked"]

DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
"""Line styles of the first eight arms, of the next eight, and so on."""


def arm_colour(arms: Sequence[str], present: Sequence[str], field: str = "arm") -> alt.Color:
    """Colour by an arm's place among `arms`. The legend names those present."""
    return alt.Color(
        f"{field}:N",
        scale=alt.Scale(domain=list(arms), range="category"),
        legend=alt.Legend(values=[arm for arm in arms if arm in set(present)]),
    )


def arm_dash(arms: Sequence[str], field: str = "arm") -> dict[str, alt.StrokeDash]:
    """Line style by arm once colours come round again; nothing to encode before that."""
    if len(arms) <= ARM_COLOURS:
        return {}
    styles = [DASHES[index // ARM_COLOURS % len(DASHES)] for index in range(len(arms))]
    scale = alt.Scale(domain=list(arms), range=styles)
    return {"strokeDash": alt.StrokeDash(f"{field}:N", scale=scale, legend=None)}


def pick(field: str = "arm") -> alt.Parameter:
    """The choice of arms that a legend makes."""
    return alt.selection_point(name="pick", fields=[field], bind="legend")


def picked(choice: alt.Parameter, value: float, otherwise: float) -> Any:
    """A value for marks of the arms chosen (all, if none is), another for the rest."""
    return alt.when(choice).then(alt.value(value)).otherwise(alt.value(otherwise))
