"""A laboratory: a database with just the runs that a claim needs, their numbers made up by hand."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fastpipe.reporting.claims.registry import CLAIMS
from fastpipe.reporting.claims.verdicts import Verdicts, judge_claims
from fastpipe.reporting.database import build
from fastpipe.reporting.tables import Row, Tables

SEEDS = 5
RECIPE = {
    "alpha": 0.01, "beta": 0.01, "head_init": "kaiming-fan-in", "head_sigma": 1e-8,
    "head_bias": False, "body_mode": "train", "warmup": "none", "warmup_patience": 10,
    "warmup_gain": 0.01, "optimiser": "sgd", "momentum": 0.9, "momentum_form": "torch",
    "weight_decay": 0.0, "steps": 200, "batch_size": 100, "flip": False,
}  # fmt: skip

Values = float | None | Sequence[float | None]
"""One number for all seeds, or one for each."""


class Laboratory:
    """Arms on source `old` (20 classes, 64 features) at epoch 3 and target `new` (10 classes)."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._path = folder / "study.duckdb"
        self._connection = duckdb.connect(str(self._path))
        folder = Path(build.__file__).parent
        self._connection.execute((folder / "schema.sql").read_text())
        self._views = (folder / "views.sql").read_text()
        self._places: dict[str, Row] = {}
        self._studies: dict[str, list[str]] = {}
        for name, classes in (("old", 20), ("new", 10)):
            self.insert("datasets", dataset=name, classes=[str(i) for i in range(classes)])
        self.source("old")

    def close(self) -> None:
        self._connection.close()

    def insert(self, table: str, **row: Any) -> None:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", [*row.values()])

    def source(self, name: str, **facts: Any) -> None:
        """A snapshot at epoch 3."""
        self.insert(
            "snapshots", source=name, epoch=3.0, dataset="old", features=64, steps=1, **facts
        )

    def execute(self, statement: str) -> None:
        self._connection.execute(statement)

    def arm(
        self, label: str, *, role: str = "other", study: str = "lab", source: str = "old",
        target: str = "new", seeds: int = SEEDS, runs: dict[str, Values] | None = None,
        **recipe: Any,
    ) -> None:  # fmt: skip
        """An arm, its recipe (named like it) and its runs."""
        place = {"source": source, "epoch": 3.0, "target": target, "recipe": label}
        position = len(self._places)
        self._places[label] = place | {"seeds": seeds}
        self._studies.setdefault(study, [])
        self.insert("recipes", recipe=label, **(RECIPE | recipe))
        self.insert(
            "arms", study=study, position=position, arm=label, role=role,
            seeds=list(range(seeds)), **place,
        )  # fmt: skip
        self.measure("runs", label, status="ok", **(runs or {}))

    def measure(self, table: str, label: str, **columns: Any) -> None:
        """One row for each seed of an arm; a list has one value for each seed."""
        place = dict(self._places[label])
        for seed in range(place.pop("seeds")):
            own = {
                name: value[seed] if isinstance(value, (list, tuple)) else value
                for name, value in columns.items()
            }
            self.insert(table, **place, seed=seed, **own)

    def judge(self, *claims: str, listed: dict[str, list[str]] | None = None) -> list[Verdicts]:
        """Verdicts; every study lists the claims, unless `listed` says which."""
        for position, study in enumerate(self._studies):
            own = (listed or {}).get(study, [] if listed else list(claims))
            self.insert("studies", position=position, name=study, title=study, claims=own)
        self._connection.execute(self._views)
        self._connection.close()
        with Tables(self._path, self._scratch()) as tables:
            return judge_claims(tables, [CLAIMS[id] for id in claims])

    def _scratch(self) -> Path:
        scratch = self._folder / "scratch"
        scratch.mkdir()
        return scratch

    def verdict(self, claim: str) -> str:
        (found,) = self.judge(claim)
        return found.verdict


@pytest.fixture
def lab(tmp_path) -> Iterator[Laboratory]:
    laboratory = Laboratory(tmp_path)
    yield laboratory
    laboratory.close()


@pytest.fixture
def about() -> Callable[..., list[float]]:
    """Five values near a number; equal numbers give equal values."""

    def values(middle: float, spread: float = 0.01) -> list[float]:
        return [middle + spread * off * (1 + middle) for off in (-2, -1, 0, 1, 2)]

    return values
