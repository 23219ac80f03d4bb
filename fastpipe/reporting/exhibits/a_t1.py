"""Errors and distance travelled at convergence, as a table (FAST, Table 1)."""

from collections.abc import Sequence

from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.optimisers import method_label
from fastpipe.reporting.drawing.queries import CHOSEN_KEY, FAST_AND_BASELINES, chosen
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.numbers import plus_minus
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]

_MEASURES = (
    ("top1_error", "top-1 error, %", "percent"),
    ("top5_error", "top-5 error, %", "percent"),
    ("distance", "‖θ*_Tt − θ*_Ts‖₂", "distance"),
)


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """A row for each arm, baselines first, as in the paper."""
    ordered = sorted(rows, key=lambda row: (row["role"] == "fast", arms.index(row["arm"])))
    return Table(
        columns=["method", *(heading for _, heading, _ in _MEASURES), "seeds"],
        rows=[_cells(row) for row in ordered],
        values=[_numbers(row) for row in ordered],
    )


def _cells(row: Row) -> list[str]:
    measures = [
        plus_minus(row[name], row[f"{name}_half_width"], form) for name, _, form in _MEASURES
    ]
    return [row["arm"], *measures, str(row["seeds"])]


def _numbers(row: Row) -> Row:
    columns = [name + end for name, _, _ in _MEASURES for end in ("", "_half_width")]
    named = {"arm": row["arm"], "method": method_label(row), "seeds": row["seeds"]}
    return named | {name: row[name] for name in columns}


EXHIBIT = Exhibit(
    id="A-T1",
    short="Errors, distance",
    title="What are the errors in the end, and how far did the body travel?",
    lede=(
        "The state deployed at the last step. A body that ends close to where it started has kept "
        "more of what it knew."
    ),
    paper=(
        "Table 1 (ResNeXt-101-32x8d, 15 seeds: top-1 error, top-5 error, distance). CIFAR-100: "
        "baseline, α = 5×10⁻²: 22.64 ± 0.26, 5.91 ± 0.14, 119.51 ± 1.38; α = 10⁻²: 16.80 ± 0.12, "
        "3.46 ± 0.06, 34.58 ± 0.43; α = 5×10⁻³: 13.90 ± 0.13, 2.22 ± 0.08, 14.32 ± 0.12; FAST: "
        "12.63 ± 0.09, 1.62 ± 0.04, 7.19 ± 0.04. Caltech-256: baseline, α = 5×10⁻²: 18.45 ± 0.14, "
        "7.14 ± 0.01, 37.2 ± 0.23; α = 10⁻²: 13.55 ± 0.19, 4.38 ± 0.09, 7.70 ± 0.07; α = 5×10⁻³: "
        "14.39 ± 0.14, 4.73 ± 0.10, 5.93 ± 0.17; FAST: 12.81 ± 0.10, 3.96 ± 0.08, 5.28 ± 0.06."
    ),
    here=(
        "Mean ± half the width of the 95 % interval over seeds. There is no top-5 error with "
        "five classes or fewer."
    ),
    query=f"""
        WITH {chosen(FAST_AND_BASELINES)}
        SELECT {CHOSEN_KEY}, count(final_top1) AS seeds,
            avg(1 - final_top1) AS top1_error,
            half_width95(1 - final_top1) AS top1_error_half_width,
            avg(1 - final_top5) AS top5_error,
            half_width95(1 - final_top5) AS top5_error_half_width,
            avg(body_distance) AS distance, half_width95(body_distance) AS distance_half_width
        FROM chosen
        WHERE isfinite(final_top1)
        GROUP BY ALL
        ORDER BY study, setting_source, target, position
    """,
    panel=("setting_source", "target"),
    draw=draw,
    absent="No arm of role fast or baseline uses SGD with momentum.",
    label=method_label,
    layout="rows",
)
