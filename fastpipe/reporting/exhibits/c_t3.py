"""The default with and without momentum from other sources (Li et al., ICLR 2020, Table 3)."""

from collections.abc import Sequence

from fastpipe.reporting.drawing.by_target import target_table
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.drawing.text import number
from fastpipe.reporting.drawing.variants import NEAR_DEFAULT
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT"]


def draw(rows: Sequence[Row], arms: Sequence[str]) -> Table:
    """Two rows for each source, a column for each target."""
    del arms
    named = [row | {"m": number(row["momentum"])} for row in rows]
    return target_table(named, [("source", "setting_source"), ("m", "m")], within="setting_source")


def _title(row: Row) -> str:
    return f"η = {number(row['default_rate'])}, λ = {number(row['default_decay'])}"


EXHIBIT = Exhibit(
    id="C-T3",
    short="Other sources",
    title="Is momentum a help from other sources?",
    lede=(
        "Test error in percent at the default learning rate and weight decay. If similarity is "
        "what counts, other targets than those of the first source gain without momentum: those "
        "similar to this source."
    ),
    paper=(
        "Table 3 (m = 0.9, m = 0). From iNaturalist: Indoor 30.73, 34.11; Birds 14.69, 12.29; "
        "Dogs 24.74, 23.87; Caltech 20.12, 21.47; Cars 11.16, 16.89; Aircrafts 19.86, 27.21. "
        "From Places: Indoor 22.19, 20.16; Birds 27.72, 32.17; Dogs 30.84, 32.47; Caltech 22.53, "
        "22.60; Cars 11.06, 14.67; Aircrafts 21.27, 25.29 (ResNet-101, η = 0.01, λ = 0.0001)."
    ),
    here=(
        "Mean ± half the width of the 95 % interval over seeds, every source but the first. Bold: "
        "the lower error of the two. Targets in the order of their similarity to the first source."
    ),
    query=f"""
        WITH {NEAR_DEFAULT}
        FROM near
        WHERE NOT of_first_source AND rate = default_rate AND decay = default_decay
        ORDER BY study, start, source_place, momentum DESC, target_place
    """,
    panel=(),
    panel_title=_title,
    draw=draw,
    absent="The study has one source only, or no arm of role baseline.",
    legend=False,
    layout="rows",
)
