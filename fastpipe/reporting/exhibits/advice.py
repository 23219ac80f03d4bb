"""Learning rates advised for targets that were left out, and what that advice was worth."""

from collections.abc import Sequence

import altair as alt

from fastpipe.advice.evaluation import PREDICTORS
from fastpipe.advice.paper import score_table
from fastpipe.advice.regret import mean_regret, of_predictor
from fastpipe.reporting.drawing.axes import Log
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.drawing.text import power, rounded
from fastpipe.reporting.numbers import difference
from fastpipe.reporting.tables import Row

__all__ = ["EXHIBIT", "HOW_JUDGED", "draw", "regret_table"]

_ROW = 44
"""Height of a target's row [pixels]."""


def draw(rows: Sequence[Row], arms: Sequence[str]) -> alt.LayerChart | Table:
    """Ranges of one source's targets, or the regrets of all."""
    del arms
    return regret_table(rows) if rows[0]["part"] == "regrets" else range_chart(rows)


# --- ranges ---------------------------------------------------------------------------------------


def range_chart(rows: Sequence[Row]) -> alt.LayerChart:
    """A row for each target, the most similar on top: the decade of the paper's rule as a band, the
    falling line's interval as a line with its middle, the best rate of the full grid as a dot."""
    data = [_drawn(row) for row in rows if row["predictor"] in _DRAWN and row["search"]]
    log = Log(row[name] for row in data for name in ("low", "high", "best_elr"))
    order = list(dict.fromkeys(r["label"] for r in sorted(data, key=lambda r: -r["similarity"])))
    base = alt.Chart().encode(
        y=alt.Y("label:N", sort=None, scale=alt.Scale(domain=order), axis=_target_axis()),
        tooltip=_TOOLTIP,
    )
    x = alt.X("low:Q", title=_TITLE, scale=log.scale(), axis=log.axis())
    rule = base.transform_filter(alt.datum.predictor == "nearest")
    line = base.transform_filter(alt.datum.predictor == "regression")
    return alt.layer(
        rule.mark_bar(height=_ROW - 16, style="window", opacity=0.22).encode(x=x, x2="high:Q"),
        line.mark_rule(strokeWidth=2, style="series").encode(x=x, x2="high:Q"),
        line.mark_tick(thickness=2, height=16, style="series").encode(x="point:Q"),
        rule.mark_point(filled=True, size=90, opacity=1, style="flow").encode(x="best_elr:Q"),
        data=alt.InlineData(values=data),
    ).properties(height=_ROW * len(order))


_DRAWN = ("nearest", "regression")
_TITLE = "effective learning rate η / (1 − m) (log scale)"
_TOOLTIP = [
    alt.Tooltip("target:N", title="target"),
    alt.Tooltip("similarity:Q", title="similarity", format=".4f"),
    alt.Tooltip("rule:N", title="predicted by"),
    alt.Tooltip("range:N", title="predicted range"),
    alt.Tooltip("best:N", title="best rate of the full grid"),
]


def _target_axis() -> alt.Axis:
    return alt.Axis(title="target, and its similarity to the source", grid=False, labelLimit=220)


def _drawn(row: Row) -> Row:
    numbers = ("similarity", "low", "high", "point", "best_elr")
    return {
        "target": row["target"],
        "predictor": row["predictor"],
        "label": f"{row['target']} ({row['similarity']:.4f})",
        "rule": PREDICTORS[row["predictor"]],
        "range": f"{_rate(row['low'])} – {_rate(row['high'])}",
        "best": _rate(row["best_elr"]),
    } | {name: rounded(row[name]) for name in numbers}


def _rate(value: float) -> str:
    return power(float(f"{value:.2g}"))


# --- regrets --------------------------------------------------------------------------------------


def regret_table(rows: Sequence[Row]) -> Table:
    """A row for each way to choose, with its regret unseen and after a search of its range."""
    found = [_numbers(rows, name) for name in PREDICTORS]
    return Table(
        columns=[
            "rate chosen by",
            "regret, one recipe",
            "gain over the default",
            "regret, searched",
            f"tried of {rows[0]['points']}",
        ],
        rows=[_cells(row) for row in found],
        values=found,
    )


def _numbers(rows: Sequence[Row], name: str) -> Row:
    """Unrounded, for the CSV file and the cells."""
    unseen, searched = (of_predictor(rows, name, search) for search in (False, True))
    default = of_predictor(rows, "default", False)
    measures = {
        "unseen": mean_regret(unseen),
        "gain": mean_regret(default, minus=unseen),
        "searched": mean_regret(searched),
    }
    return {"predictor": name} | {
        f"{measure}{end}": value
        for measure, one in measures.items()
        for end, value in (
            ("", one.mean), ("_low", one.low), ("_high", one.high),
            ("_bootstrap_low", one.bootstrap_low), ("_bootstrap_high", one.bootstrap_high),
        )
    } | {"tried": measures["searched"].tried, "pairs": measures["searched"].pairs}  # fmt: skip


def _cells(row: Row) -> list[str]:
    gain = "–" if row["predictor"] == "default" else f"{_with_ends(row, 'gain')}, {_word(row)}"
    return [
        PREDICTORS[row["predictor"]],
        _with_ends(row, "unseen"),
        gain,
        _with_ends(row, "searched"),
        f"{row['tried']:.3g}",
    ]


def _with_ends(row: Row, measure: str) -> str:
    ends = f"{_points(row, measure, '_low')} to {_points(row, measure, '_high')}"
    if row[f"{measure}_bootstrap_low"] is not None:
        low, high = (_points(row, measure, f"_bootstrap_{end}") for end in ("low", "high"))
        ends += f"; BCa {low} to {high}"
    return f"{_points(row, measure)} ({ends})"


def _points(row: Row, measure: str, end: str = "") -> str:
    return difference(row[measure + end], "points")


def _word(row: Row) -> str:
    if row["gain_low"] > 0:
        return "better"
    return "worse" if row["gain_high"] < 0 else "no better"


def _title(row: Row) -> str:
    return (
        "Regret over all pairs, in percentage points"
        if row["part"] == "regrets"
        else f"from {row['setting_source']}"
    )


HOW_JUDGED = (
    "A target's own accuracies play no part in its prediction; “searched”: the advised range is "
    "searched on its validation images. Random points: expectation over as many as the paper's "
    "rule tries. Median: the decade of the other targets' median rate. Intervals: 95 %, Student's "
    "t over targets (each the mean over its sources); from ten targets on also BCa bootstrap."
)
"""What the table of regrets is."""


def _on_table_4() -> str:
    """How often the rules are right on the paper's own numbers."""
    scores = {one.rule: one for one in score_table() if one.column == "all"}
    parts = [
        f"{PREDICTORS[rule]} in {one.right} of {one.targets} (range {one.decades:.1f} decades wide)"
        for rule, one in scores.items()
    ]
    return (
        "On its numbers (without the JFT features, which have no rates of their own), each target "
        "left out in turn, the best rate lies in the predicted range "
        f"for {', '.join(parts[:-1])} and {parts[-1]}."
    )


EXHIBIT = Exhibit(
    id="advice",
    place=16,
    short="Advice",
    title="Can a learning rate be advised from similarity alone?",
    lede=(
        "Each target is left out once and advised from all the others. Regret is the test accuracy "
        "lost against a search of the full grid: 0 is as good as the whole search. Advice is worth "
        "something if it loses less than the default, which needs no advice."
    ),
    paper=(
        "Section 3.3 proposes to take, for a new dataset, the range of effective learning rates "
        "([0.001, 0.01], [0.01, 0.1] or [0.1, 1]) of the reference dataset whose similarity is "
        f"closest (Table 4). What that loses is not reported. {_on_table_4()}"
    ),
    here=(
        "Band: decade advised by the paper's rule. Line: 80 % jackknife+ interval of a straight "
        "line that does not rise with similarity, its middle marked. Dot: best rate of the full "
        f"grid, chosen on validation images. {HOW_JUDGED}"
    ),
    query="""
        SELECT study, source AS setting_source, source, target, predictor, search, similarity,
            low, high, point, best_elr, regret, tried, points, part,
            if(part = 'regrets', part, source) AS panel
        FROM advice, (SELECT unnest(['ranges', 'regrets']) AS part)
        ORDER BY study, part, source, similarity DESC, target, predictor, search
    """,
    panel=("panel",),
    draw=draw,
    absent=(
        "No study here has a grid of three effective learning rates or more on four targets or "
        "more, with an arm of role baseline."
    ),
    panel_title=_title,
    legend=False,
    layout="rows",
)
