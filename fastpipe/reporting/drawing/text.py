"""Numbers and recipes as labels."""

import math
from collections.abc import Callable

from fastpipe.reporting.tables import Row

__all__ = ["init_label", "interval", "number", "optimiser_label", "power", "rates_label", "rounded"]

_KAIMING = {"kaiming-fan-in": "Kaiming fan-in", "kaiming-fan-out": "Kaiming fan-out"}
_OPTIMISERS = {"sgd": "SGD, momentum", "nesterov": "Nesterov", "adam": "Adam", "radam": "RAdam"}


def interval(mean: float, half_width: float | None, form: Callable[[float], str]) -> str:
    """ "87.1 % – 89.3 %"; a dash without an interval."""
    if half_width is None:
        return "–"
    return f"{form(mean - half_width)} – {form(mean + half_width)}"


def rounded(value: float | None, digits: int = 6) -> float | None:
    """A value with that many significant digits: enough to draw, a third of the bytes."""
    if value is None or value == 0:
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))


def power(value: float) -> str:
    """1e-8 → "1e-8", 0.0002 → "2e-4", 0.05 → "0.05".

    Not 10⁻⁸: the fonts that charts are rasterised with have no such superscripts, and the whole
    label would fall back to another font.
    """
    if value == 0 or 0.01 <= abs(value) < 10_000:
        return f"{value:g}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def number(value: float) -> str:
    """A rate or coefficient without an exponent, three digits: "0.0167", "0.0001"."""
    return f"{value:.3g}" if value == 0 or abs(value) >= 1e-4 else power(value)


def init_label(row: Row) -> str:
    """How the head starts: "N(0, 1e-8)", "Kaiming fan-in"."""
    if row["head_init"] == "normal":
        return f"N(0, {power(row['head_sigma'])})"
    if row["head_init"] == "zeros":
        return "W(0) = 0"
    return _KAIMING.get(row["head_init"], row["head_init"])


def rates_label(row: Row) -> str:
    """ "α = β = 0.05" or "α = 0.05, β = 0.01"."""
    if row["alpha"] == row["beta"]:
        return f"α = β = {power(row['alpha'])}"
    return f"α = {power(row['alpha'])}, β = {power(row['beta'])}"


def optimiser_label(row: Row) -> str:
    """ "Adam"."""
    return _OPTIMISERS[row["optimiser"]]
