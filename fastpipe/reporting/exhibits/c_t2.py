"""Eight settings with and without momentum (Li et al., ICLR 2020, Table 2)."""

from collections.abc import Sequence
from itertools import product

from fastpipe.reporting.drawing.by_target import target_table
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.drawing.text import number
from fastpipe.reporting.drawing.variants import IN_ORDER, NEAR_DEFAULT, start_title
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

Setting = tuple[float, float, float]
"""Momentum, learning rate, weight decay."""


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """A row for each setting, a column for each target, those that momentum hurts most first."""
    del arms
    settings = _settings(rows)
    shown = [row for row in rows if (row["momentum"], row["rate"], row["decay"]) in settings]
    gains = _gains(shown)
    return target_table(
        [row | {"m": number(row["momentum"]), "η": number(row["rate"]), "λ": number(row["decay"]),
                "gain_without_momentum": gains[row["target"]]} for row in shown],
        [("m", "m"), ("η", "η"), ("λ", "λ")],
        within="m",
        lines=[tuple(map(number, setting)) for setting in settings],
        targets=sorted(gains, key=lambda target: -gains[target]),
    )  # fmt: skip


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


def _gains(rows: Sequence[Row]) -> dict[str, float]:
    """Target → by which share of itself the mean error falls without momentum."""
    gains = {}
    for target in dict.fromkeys(row["target"] for row in rows):
        own = [row for row in rows if row["target"] == target]
        without = [row["error"] for row in own if row["momentum"] == 0]
        with_it = [row["error"] for row in own if row["momentum"] > 0]
        known = without and with_it and sum(with_it)
        gains[target] = 1 - _mean(without) / _mean(with_it) if known else 0.0
    return gains


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


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
        "9.08, 10.65; Aircrafts 17.40, 20.46; Flowers 3.12, 5.25. Dogs, Caltech and Indoor are "
        "better without momentum, Cars, Aircrafts and Flowers with it."
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
