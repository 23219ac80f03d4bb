"""`report`: charts, verdicts on claims and one page, from `study.duckdb` alone."""

from pathlib import Path
from typing import Literal

from fastpipe.config.model import Model
from fastpipe.crash import crash_point
from fastpipe.stages.job import Job, stage_job

__all__ = ["ReportSpec", "report"]


class ReportSpec(Model):
    """Everything that determines a report, the database aside."""

    study: str
    formats: tuple[Literal["json", "svg", "png"], ...] = ("json", "svg", "png")
    """Files to write of each chart."""


def report(spec: ReportSpec, *, database: Path, out: Path, work: Path, identity: str) -> None:
    """Write `charts/`, the claims, `report.html` and the record, `report.json`, into `out`.

    Claims lie in `claims.parquet` and, for other programs, in `claims.csv`.

    Args:
        spec: see :class:`ReportSpec`.
        database: folder with `study.duckdb` and the record that vouches for it, `collect.json`.
        out: folder of the study.
        work: the `results/.work` folder.
        identity: hash of everything declared that determines the result; goes into the record.

    Raises:
        UserError: the database is missing or damaged, or the study asks for an unknown claim.
    """
    # Imported late: whoever only wants the spec's model is spared altair.
    from fastpipe.reporting.tables import Tables

    record = database / "collect.json"
    packages = ("altair", "vl-convert-python", "jinja2", "scipy", "duckdb")
    with (
        stage_job(
            "report", out, spec=spec, identity=identity, work=work, reads=[record],
            packages=packages,
        ) as job,
        Tables(job.input(record, "study.duckdb"), job.scratch) as tables,
    ):  # fmt: skip
        _write(job, spec, tables)


def _write(job: Job, spec: ReportSpec, tables) -> None:
    from fastpipe.reporting.charts import draw_figures, write_chart
    from fastpipe.reporting.claims.files import write_claims
    from fastpipe.reporting.claims.verdicts import chosen_claims, judge_claims
    from fastpipe.reporting.page.content import page_content
    from fastpipe.reporting.page.render import render_page

    asked = [claim for row in tables.rows("FROM studies") for claim in row["claims"] or ()]
    verdicts = judge_claims(tables, chosen_claims(list(dict.fromkeys(asked))))
    write_claims(job.output("claims.parquet"), job.output("claims.csv"), verdicts)
    figures = [figure for figure in draw_figures(tables) if figure.panels]
    job.output("charts/.").mkdir(parents=True, exist_ok=True)
    panels = [panel for figure in figures for panel in figure.panels]
    with job.progress(f"report of {spec.study}", len(panels), "charts") as progress:
        for panel in panels:
            write_chart(panel, job.output("charts"), spec.formats)
            progress.advance()
    crash_point("charts-drawn")
    content = page_content(tables, figures, verdicts)
    page = render_page(content, figures)
    job.output("report.html").write_text(page, encoding="utf-8")
