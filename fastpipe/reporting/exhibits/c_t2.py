"""Eight settings with and without momentum (Li et al., ICLR 2020, Table 2)."""

from collections.abc import Mapping, Sequence
from itertools import product

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.grids import IN_ORDER, NEAR_DEFAULT, number, percents, start_title
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

Setting = tuple[float, float, float]
"""Momentum, learning rate, weight decay."""


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """A row for each setting, a column for each target, those that momentum hurts most first."""
    del arms
    found = {(_setting(row), row["target"]): row for row in rows}
    settings = [one for one in _settings(rows) if any(one == setting for setting, _ in found)]
    gains = _gains(found, settings)
    targets = sorted(gains, key=lambda target: -gains[target])
    cells = [[found.get((one, target)) for target in targets] for one in settings]
    return Table(
        columns=["m", "η", "λ", *targets],
        rows=[
            [*map(number, one), *(_text(row) for row in line)]
            for one, line in zip(settings, cells, strict=True)
        ],
        values=[_numbers(row, gains) for line in cells for row in line if row],
        marks=_best(settings, cells),
    )


def _setting(row: Row) -> Setting:
    return row["momentum"], row["rate"], row["decay"]


def _settings(rows: Sequence[Row]) -> list[Setting]:
    """The default's momentum and none, its rate and the next, its weight decay and none."""
    default = rows[0]["default_rate"]
    rates = {row["rate"] for row in rows}
    lower, higher = ({r for r in rates if r < default}, {r for r in rates if r > default})
    second = [max(lower)] if lower else [min(higher)] if higher else []
    return list(
        product(
            dict.fromkeys((rows[0]["default_momentum"], 0.0)),
            (default, *second),
            dict.fromkeys((rows[0]["default_decay"], 0.0)),
        )
    )


def _gains(
    found: Mapping[tuple[Setting, str], Row], settings: Sequence[Setting]
) -> dict[str, float]:
    """Target → by how much of itself the mean error falls without momentum."""
    gains = {}
    for target in dict.fromkeys(target for _, target in found):
        own = [found[one, target] for one in settings if (one, target) in found]
        without = [row["error"] for row in own if row["momentum"] == 0]
        with_it = [row["error"] for row in own if row["momentum"] > 0]
        known = without and with_it and sum(with_it)
        gains[target] = 1 - _mean(without) / _mean(with_it) if known else 0.0
    return gains


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _best(
    settings: Sequence[Setting], cells: Sequence[Sequence[Row | None]]
) -> dict[tuple[int, int], str]:
    """The cells with the lowest error of each target and momentum."""
    marks = {}
    for momentum in {one[0] for one in settings}:
        lines = [i for i, one in enumerate(settings) if one[0] == momentum]
        for j in range(len(cells[0])):
            known = {i: row["error"] for i in lines if (row := cells[i][j])}
            if known:
                marks[min(known, key=known.__getitem__), 3 + j] = "best"
    return marks


def _text(row: Row | None) -> str:
    return percents(row["error"], row["half_width"]) if row else "–"


def _numbers(row: Row, gains: Mapping[str, float]) -> Row:
    names = ("target", "momentum", "rate", "decay", "elr", "error", "half_width", "seeds")
    return {name: row[name] for name in names} | {"gain_without_momentum": gains[row["target"]]}


EXHIBIT = Exhibit(
    id="C-T2",
    short="With and without momentum",
    title="At one learning rate, is momentum a help?",
    lede=(
        "Test error in percent with the default momentum and without any. Targets are ordered by "
        "how much they gain when momentum is switched off."
    ),
    paper=(
        "Table 2 (ResNet-101 from ImageNet; lowest of four settings with m = 0.9, with m = 0): "
        "Dogs 14.14, 10.12; Caltech 13.42, 11.61; Indoor 22.79, 20.76; Birds 17.24, 17.21; Cars "
        "9.08, 10.65; Aircrafts 17.40, 20.46; Flowers 3.12, 5.25. Without momentum the three "
        "most similar targets are better, the three least similar worse."
    ),
    here=(
        "Mean ± half the width of the 95 % interval over seeds. The learning rates are the "
        "default's and the next in the grid, the weight decays the default's and none. Bold: the "
        "lowest error of a target with the same momentum."
    ),
    query=f"""
        WITH {NEAR_DEFAULT}
        FROM near
        WHERE of_first_source AND decay IN (default_decay, 0)
        ORDER BY {IN_ORDER}, recipe
    """,
    panel=("setting_source",),
    panel_title=start_title,
    draw=draw,
    absent="No arm of role baseline has variants of its learning rate and momentum.",
    legend=False,
    layout="rows",
)
