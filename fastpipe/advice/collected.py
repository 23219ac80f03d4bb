"""Which collected study knows a source: its grid, what its advice is worth, its recipes."""

import dataclasses
import functools
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from fastpipe.advice.evaluation import leave_one_out
from fastpipe.advice.grid import FEWEST_RATES, FEWEST_TARGETS, GRID_QUERY, Grid, grids
from fastpipe.config.names import study_folder
from fastpipe.config.plan import Plan
from fastpipe.errors import UserError
from fastpipe.reporting.tables import Tables

__all__ = ["Knowledge", "knowledge"]


@dataclass(frozen=True)
class Knowledge:
    """What a study knows of a source."""

    study: str
    """The target whose `study.duckdb` was read."""
    grid: Grid
    others: tuple[Grid, ...]
    """The grids of the same study from its other sources."""
    recipes: dict[str, dict[str, Any]]
    """Row of table `recipes`, by name."""
    scores: list[dict[str, Any]]
    """Rows of table `scores` of the grid's snapshot and targets; none if the study has none."""

    @functools.cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Every target of every grid left out once, as in table `advice`."""
        return [asdict(one) for grid in (self.grid, *self.others) for one in leave_one_out(grid)]

    def without(self, target: str) -> "Knowledge":
        """The same as if a target had never been tried, for advice on that very target."""
        return dataclasses.replace(
            self,
            grid=self.grid.without(target),
            others=tuple(g.without(target) if target in g.targets else g for g in self.others),
            scores=[row for row in self.scores if row["target"] != target],
        )


def knowledge(plan: Plan, source: str, study: str | None) -> Knowledge:
    """The grid from a source with the most targets, of one study or of all that are collected.

    Raises:
        UserError: there is no such source or study, the source has no dataset, or there is no
            grid from it; names the studies to run.
    """
    _require(source, plan.config.sources, "source")
    if plan.config.sources[source].dataset is None:
        raise UserError(_WITHOUT_DATASET.format(source=source))
    if study is not None:
        _require(study, plan.targets, "study")
    found = [
        one
        for name in ([study] if study else plan.targets)
        for one in _all_known(name)
        if one.grid.source == source
    ]
    if not found:
        raise UserError(_nothing(plan, source, study))
    return max(found, key=lambda one: (len(one.grid.targets), len(one.grid.points)))


_WITHOUT_DATASET = (
    "source {source} has no `dataset`, and similarity compares your images with those that the "
    "source was trained on. Declare these images (or a sample of them, for example a folder with "
    "some of each class) in `datasets`, name that as the `dataset` of {source}, and run a study "
    "with a grid from it; or advise from another source."
)


def _require(name: str, known: Iterable[str], what: str) -> None:
    if name not in known:
        raise UserError(f"there is no {what} {name!r}. There are: {', '.join(sorted(known))}.")


def _all_known(name: str) -> list[Knowledge]:
    database = study_folder(name) / "study.duckdb"
    if not database.is_file():
        return []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with Tables(database, Path(scratch)) as tables:
                found = grids(tables.rows(GRID_QUERY))
                recipes = {row["recipe"]: row for row in tables.rows("FROM recipes")}
                scores = tables.rows("FROM scores")
        except duckdb.Error as error:
            raise UserError(
                f"{database} cannot be read ({str(error).splitlines()[0]}). "
                f"Run snakemake {name} to make it again."
            ) from None
    return [
        Knowledge(
            name, grid, tuple(g for g in found if g.study == grid.study and g is not grid), recipes,
            [row for row in scores if (row["source"], row["epoch"]) == (grid.source, grid.epoch)
             and row["target"] in grid.targets],
        )
        for grid in found
    ]  # fmt: skip


def _nothing(plan: Plan, source: str, study: str | None) -> str:
    where = f"study {study}" if study else "no collected study"
    has = "has no grid" if study else "has a grid"
    said = f"{where} {has} of learning rates from {source}, so there is nothing to compare with."
    able = _able(plan, source)
    if able:
        return f"{said} Run one that has: snakemake {' or snakemake '.join(able)}."
    return (
        f"{said} Declare a study with an arm of role baseline and a sweep of `lr` over at least "
        f"{FEWEST_RATES} values from {source}@last on {FEWEST_TARGETS} targets or more; run it."
    )


def _able(plan: Plan, source: str) -> Sequence[str]:
    """Study targets that would have a grid from the source, were they run."""
    found = []
    for name in plan.targets:
        own = [runs for runs in plan.own_runs(name) if runs.snapshot.source == source]
        own = [runs for runs in own if runs.role != "scratch"]
        rates = {runs.recipe.alpha for runs in own if runs.recipe.alpha == runs.recipe.beta}
        targets = {runs.target for runs in own}
        baseline = any(runs.role == "baseline" for runs in own)
        if baseline and len(rates) >= FEWEST_RATES and len(targets) >= FEWEST_TARGETS:
            found.append(name)
    return found
