"""Numbers as text, the same way everywhere in the report."""

import math

__all__ = [
    "count",
    "difference",
    "distance",
    "epochs",
    "interval",
    "percent",
    "plain",
    "plus_minus",
    "points",
    "scores",
]

THIN = "\u2009"
MINUS = "−"


def percent(fraction: float | None, digits: int = 1) -> str:
    """0.8714 → "87.1 %"."""
    return "–" if fraction is None else f"{_signed(100 * fraction, digits)}{THIN}%"


def points(fraction: float | None, digits: int = 1) -> str:
    """A difference of fractions in percentage points, without sign: -0.1234 → "12.3"."""
    return "–" if fraction is None else f"{abs(100 * fraction):.{digits}f}"


def scores(value: float | None) -> str:
    """An area in [0, 1]: 0.6871 → "0.687"."""
    return "–" if value is None else _signed(value, 3)


def distance(value: float | None) -> str:
    """A distance to three significant digits."""
    return "–" if value is None else plain(value)


def plain(value: float) -> str:
    """Three significant digits; large whole numbers with thousands separated."""
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", MINUS)
    if value and abs(value) < 0.001:
        return f"{value:.1e}".replace("-", MINUS)
    leading = math.floor(math.log10(abs(value))) if value else 0
    return _signed(value, max(0, 2 - leading))


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """A coefficient and its interval: "0.71 [−0.12, 0.93]"."""
    if value is None or low is None or high is None:
        return "–" if value is None else _signed(value, 2)
    return f"{_signed(value, 2)} [{_signed(low, 2)}, {_signed(high, 2)}]"


def plus_minus(value: float | None, half_width: float | None, form: str) -> str:
    """Mean ± half the interval's width; `form` is percent, scores, distance or seconds."""
    if value is None:
        return "–"
    scale, digits = {"percent": (100, 1), "scores": (1, 3), "distance": (1, 2), "seconds": (1, 1)}[
        form
    ]
    text = _signed(scale * value, digits)
    return text if half_width is None else f"{text} ± {scale * half_width:.{digits}f}"


def difference(value: float | None, unit: str) -> str:
    """An estimate in the unit of a claim: differences (points, area, distance, decades) and
    correlations with their sign, ratios ("×3.21"), slopes, and deviations from an exact value
    ("+1.2e−07")."""
    if value is None:
        return "–"
    if unit == "ratio":
        return f"×{plain(value)}"
    if unit == "slope":
        return _signed(value, 2)
    if unit == "deviation":
        return "0" if value == 0 else f"{value:+.1e}".replace("-", MINUS)
    scaled, digits = {
        "points": (100 * value, 1), "area": (value, 3), "distance": (value, 2),
        "correlation": (value, 2), "decades": (value, 2),
    }[unit]  # fmt: skip
    text = f"{abs(scaled):.{digits}f}"
    sign = "" if not float(text) else ("+" if scaled > 0 else MINUS)
    return f"{sign}{text}"


def count(number: int, what: str) -> str:
    """ "1 step", "1,200 steps"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def epochs(value: float) -> str:
    """ "1 epoch", "0.25 epochs"."""
    return f"{value:g} epoch{'' if value == 1 else 's'}"


def _signed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", MINUS)
