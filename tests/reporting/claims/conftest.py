"""A laboratory: a database with just the runs that a claim needs, their numbers made up by hand."""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
        self._connection.execute("BEGIN")  # a transaction for each row would be slow
        self._views = (folder / "views.sql").read_text()
        self._places: dict[str, Row] = {}
        self._studies: dict[str, list[str]] = {}
        self._includes: dict[str, list[str]] = {}
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
            self.insert(
                "studies", position=position, name=study, title=study, claims=own,
                includes=self._includes.get(study, []),
            )  # fmt: skip
        self._connection.execute(self._views)
        self._connection.execute("COMMIT")
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


GRID_RECIPE = RECIPE | {
    "optimiser": "nesterov", "weight_decay": 0.005, "regulariser": "l2", "decayed": "all",
    "decay_form": "coupled", "schedule": "step", "milestones": [0.5, 0.8], "decay_factor": 0.1,
    "protocol": "final", "batches": "shuffled", "crop": "none", "colour_jitter": 0.0,
}  # fmt: skip


class Grids(Laboratory):
    """Runs by recipe, source and target; `lr` sets both rates."""

    def __init__(self, folder):
        super().__init__(folder)
        self._recipes: set[str] = set()
        self._positions: dict[tuple[str, str, str], int] = {}
        self._done: set[tuple[Any, ...]] = set()

    def similar(self, source: str, similarities: dict[str, float], epoch: float = 3.0) -> None:
        """Domain similarity of a source to each of some targets."""
        for target, value in similarities.items():
            self.insert("similarity", source=source, epoch=epoch, target=target, similarity=value)

    def includes(self, study: str, others: Iterable[str]) -> None:
        self._includes[study] = list(others)
        self._studies.setdefault(study, [])

    def runs(
        self, target: str, *, val: float | Sequence[float | None], test: float | Sequence[float],
        source: str = "old", epoch: float = 3.0, study: str = "lab", role: str = "other",
        lr: float = 0.01, seeds: int = SEEDS, **fields: Any,
    ) -> None:  # fmt: skip
        """An arm of one recipe on one target and its runs; one accuracy for all seeds or a list."""
        recipe = GRID_RECIPE | {"alpha": lr, "beta": lr} | fields
        changed = {k: v for k, v in recipe.items() if v != GRID_RECIPE.get(k) and k != "beta"}
        name = "+".join(f"{k}={v}" for k, v in changed.items()) or "default"
        if name not in self._recipes:
            self._recipes.add(name)
            elr = recipe["alpha"] / (1 - recipe["momentum"])
            decay = {"lambda": recipe["weight_decay"]}
            columns = {f'"{k}"': v for k, v in (recipe | {"elr": elr} | decay).items()}
            self.insert("recipes", recipe=name, **columns)
        place = {"source": source, "epoch": epoch, "target": target, "recipe": name}
        position = self._positions.setdefault((study, role, name), len(self._positions))
        self._studies.setdefault(study, [])
        self.insert(
            "arms", study=study, position=position, arm=name, role=role,
            seeds=list(range(seeds)), **place,
        )  # fmt: skip
        for seed in range(seeds):
            key = (*place.values(), seed)
            if key in self._done:
                continue
            self._done.add(key)
            own = [v[seed] if isinstance(v, (list, tuple)) else v for v in (val, test)]
            self.insert("runs", **place, seed=seed, val_top1=own[0], final_top1=own[1])


@pytest.fixture
def lab(tmp_path) -> Iterator[Laboratory]:
    laboratory = Laboratory(tmp_path)
    yield laboratory
    laboratory.close()


@pytest.fixture
def grids(tmp_path) -> Iterator[Grids]:
    laboratory = Grids(tmp_path)
    yield laboratory
    laboratory.close()


@pytest.fixture
def about() -> Callable[..., list[float]]:
    """Five values near a number; equal numbers give equal values."""

    def values(middle: float, spread: float = 0.01) -> list[float]:
        return [middle + spread * off * (1 + middle) for off in (-2, -1, 0, 1, 2)]

    return values
