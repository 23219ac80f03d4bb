"""The advice as a page, by the means of a study's report."""

from dataclasses import replace

import altair as alt
from markupsafe import escape

from fastpipe.advice.collected import Knowledge
from fastpipe.advice.command import Advice
from fastpipe.advice.evaluation import PREDICTORS
from fastpipe.reporting.charts import Figure, Panel, chart_spec
from fastpipe.reporting.drawing.arms import arm_colour
from fastpipe.reporting.drawing.axes import Log, fraction_axis
from fastpipe.reporting.drawing.exhibit import Exhibit
from fastpipe.reporting.drawing.table import Table
from fastpipe.reporting.drawing.text import power, rounded
from fastpipe.reporting.drawing.transferability import SCORES
from fastpipe.reporting.exhibits.advice import EXHIBIT as REGRETS
from fastpipe.reporting.exhibits.advice import HOW_JUDGED, regret_table
from fastpipe.reporting.page.content import figure_content
from fastpipe.reporting.page.render import render_page
from fastpipe.reporting.summary import Paragraph
from fastpipe.reporting.theme import ARM_COLOURS

__all__ = ["advice_page"]


def advice_page(advice: Advice, known: Knowledge) -> str:
    """HTML: what is advised in a few sentences, the references' curves, and the regrets."""
    figures = [_curves(advice), _scores(advice), _regrets(known)]
    note = f"From study {advice.study}."
    return render_page(
        {
            "study": advice.study,
            "title": f"Advice for {advice.images}",
            "description": f"Which learning rate to fine-tune {advice.source} with.",
            "scale": "",
            "summary": _summary(advice),
            "contents": [
                {"id": id, "label": label, "inner": False}
                for id, label in (
                    ("summary", "In short"),
                    *((f.id, f.exhibit.short) for f in figures),
                )
            ],
            "studies": [],
            "claims": {"claims": []},
            "figures": [figure_content(n, figure, note) for n, figure in enumerate(figures, 1)],
            "tables": [],
        },
        figures,
    )


def _summary(advice: Advice) -> list[Paragraph]:
    nearest = advice.references[0]
    settings = ", ".join(f"{key} {value}" for key, value in advice.recipe.items())
    ranges = "; ".join(
        f"{PREDICTORS[rule]}: {power(float(f'{one.low:.2g}'))} to {power(float(f'{one.high:.2g}'))}"
        for rule, one in advice.predictions.items()
    )
    return [
        Paragraph("Similarity", escape(
            f"{advice.similarity:.4f} to {advice.source}; the nearest reference is "
            f"{nearest['target']} ({nearest['similarity']:.4f}), whose best effective learning "
            f"rate is {power(nearest['elr'])}. {advice.preparation}"
        )),
        *[Paragraph("Beware", escape(one.removeprefix("Caution: "))) for one in advice.cautions],
        Paragraph("Range of effective learning rates", escape(f"{ranges}.")),
        Paragraph("Recipe", escape(
            f"By {PREDICTORS[advice.rule]}, whatever the regrets of both rules: {settings}."
        )),
        Paragraph("Worth", escape(" ".join(advice.verdict))),
    ]  # fmt: skip


def _curves(advice: Advice) -> Figure:
    """Best validation accuracy against the effective rate, a line for each reference."""
    shown = advice.references[:ARM_COLOURS]
    names = [f"{one['target']} ({one['similarity']:.4f})" for one in shown]
    data = [
        {"arm": name, "elr": step["elr"], "mean": rounded(step["val"]), "rate": power(step["elr"])}
        for name, one in zip(names, shown, strict=True)
        for step in one["curve"]
    ]
    log = Log(row["elr"] for row in data)
    base = alt.Chart(alt.InlineData(values=data)).encode(
        x=alt.X("elr:Q", title="effective learning rate η / (1 − m) (log scale)",
                scale=log.scale(), axis=log.axis()),
        y=alt.Y("mean:Q", title="best validation accuracy", axis=fraction_axis(),
                scale=alt.Scale(zero=False)),
        color=arm_colour(names, names),
        tooltip=[alt.Tooltip("arm:N", title="reference"),
                 alt.Tooltip("rate:N", title="effective rate"),
                 alt.Tooltip("mean:Q", title="accuracy", format=".3f")],
    )  # fmt: skip
    drawing = alt.layer(base.mark_line(strokeWidth=2), base.mark_point(filled=True, opacity=1))
    exhibit = Exhibit(
        id="references",
        short="References",
        title="How did the references respond to the learning rate?",
        lede=(
            "Targets on which the whole grid was tried, those most like yours first, each with its "
            "similarity to the source."
        ),
        paper="Figure 4 shows such curves for seven targets.",
        here="Best validation accuracy (mean over seeds) among the grid's points at each rate.",
        query="", panel=(), draw=lambda rows, arms: drawing, absent="",
    )  # fmt: skip
    spec = chart_spec(drawing.properties(height=300).to_dict(validate=False), exhibit.title, "")
    panel = Panel("references", f"from {advice.source}", spec)
    return Figure("references", exhibit, advice.study, [panel], names, names, [advice.source], None)


def _scores(advice: Advice) -> Figure:
    """Scores of the new images beside those of the references, the nearest first."""
    targets = [one["target"] for one in advice.references]
    targets = [target for target in targets if target in advice.scores[0]["references"]]
    values = [
        {"score": one["score"], "yours": one["value"]}
        | {target: one["references"].get(target) for target in targets}
        for one in advice.scores
    ]
    table = Table(
        columns=["score", "yours", *targets],
        rows=[
            [SCORES[row["score"]], *(_score(row[name]) for name in ("yours", *targets))]
            for row in values
        ],
        values=values,
    )
    exhibit = Exhibit(
        id="scores",
        short="Scores",
        title="How well may the source serve your images?",
        lede=(
            "Scores of transferability of your images beside those of the references, the most "
            "similar first. Larger is better; most also depend on the number of classes."
        ),
        paper="Not in the paper.",
        here="From the source's own features of some images of each class; nothing is fine-tuned.",
        query="", panel=(), draw=lambda rows, arms: table, absent="",
    )  # fmt: skip
    panel = Panel("scores", f"from {advice.source}", table)
    return Figure("scores", exhibit, advice.study, [panel], [], [], [advice.source], None)


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def _regrets(known: Knowledge) -> Figure:
    exhibit = replace(REGRETS, here=HOW_JUDGED)
    panel = Panel("regrets", "Regret, in percentage points", regret_table(known.rows))
    return Figure(
        "regrets", exhibit, known.study, [panel], [], [], [known.grid.source], None
    )  # fmt: skip
