"""An invented database of the hyperparameters paper's grids: no number in it was measured.

Three sources, seven targets, three seeds: five learning rates, two momenta, two weight decays.
The more similar a target, the smaller the effective learning rate at which it is best. Rows are
written straight into a :class:`StudyDatabase`, whose own SQL makes the rest.
"""

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fastpipe.config.recipe import Recipe
from fastpipe.files import canonical_json
from fastpipe.reporting.database.build import StudyDatabase
from fastpipe.stages.collect import _recipe_row

SOURCES = ("hp-mnist", "hp-fashion", "hp-low")
OTHER_NETWORK = "hp-mnist-wide"
TARGETS = (
    "mnist-few", "digits-few", "mnist-high", "mnist-turned", "mnist-inverted", "fashion-few",
    "fashion-turned",
)  # fmt: skip
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
MOMENTA = (0.9, 0.0)
DECAYS = (0.005, 0.0)
SCRATCH_RATES = (0.01, 0.03, 0.1, 0.3)
SCRATCH_DECAYS = (0.005, 0.0005)
SEEDS = (0, 1, 2)
STEPS = 150
DEFAULT = "fine-tune"
EXHIBITS = {
    "hp-grid": ["C-T1", "C-T2", "C-T3", "C-F3", "C-F4", "C-T4", "C-F5", "C-F8", "C-F9"],
    "hp-scratch": ["C-F4"],
    "hp-backbones": ["C-F4", "C-T4"],
}
_SIMILAR = {
    source: dict(zip(order, (0.95, 0.93, 0.91, 0.89, 0.88, 0.84, 0.83), strict=True))
    for source, order in {
        "hp-mnist": TARGETS,
        OTHER_NETWORK: TARGETS,
        "hp-fashion": (*TARGETS[5:], *TARGETS[:5]),
        "hp-low": (*TARGETS[:2], *TARGETS[3:5], TARGETS[2], *TARGETS[5:]),
    }.items()
}
_HARD = dict(zip(TARGETS, (0.06, 0.08, 0.12, 0.13, 0.15, 0.24, 0.29), strict=True))


def grid_recipes() -> dict[str, Recipe]:
    """The variants of hp-grid by name; the default's point has the default's name."""
    common = {"optimiser": "nesterov", "protocol": "final", "schedule": "step", "steps": STEPS}
    return {
        DEFAULT if (rate, momentum, decay) == (0.01, 0.9, 0.005) else
        f"{DEFAULT}+lr={rate:g}+momentum={momentum:g}+weight_decay={decay:g}": Recipe(
            alpha=rate, beta=rate, momentum=momentum, weight_decay=decay, **common
        )
        for rate, momentum, decay in product(RATES, MOMENTA, DECAYS)
    }  # fmt: skip


def scratch_recipes() -> dict[str, Recipe]:
    """The variants of hp-scratch by name."""
    return {
        f"from-scratch+lr={rate:g}+weight_decay={decay:g}": Recipe(
            alpha=rate, beta=rate, momentum=0.9, weight_decay=decay, optimiser="nesterov",
            protocol="final", schedule="step", steps=2 * STEPS,
        )
        for rate, decay in product(SCRATCH_RATES, SCRATCH_DECAYS)
    }  # fmt: skip


def write_grid_database(path: Path, *, seed: int = 0) -> None:
    """Write the database of a study that includes hp-grid, hp-scratch and hp-backbones."""
    fine, scratch = grid_recipes(), scratch_recipes()
    wide = {name: one for name, one in fine.items() if one.weight_decay}
    arms = [
        *_arms("hp-grid", "default", "baseline", SOURCES, 2.0, [DEFAULT]),
        *_arms("hp-grid", "grid", "other", SOURCES, 2.0, fine),
        *_arms("hp-scratch", "scratch", "scratch", SOURCES[:1], 0.0, scratch),
        *_arms("hp-backbones", "backbones", "other", [OTHER_NETWORK], 2.0, wide),
    ]
    places = dict.fromkeys(_place(arm) for arm in arms)
    noise = np.random.default_rng(seed)
    recipes = fine | scratch
    runs = [_Run(place, recipes[place[3]], one, noise) for place in places for one in SEEDS]
    with StudyDatabase(path) as database:
        database.insert("studies", _studies())
        database.insert("arms", arms)
        database.insert("recipes", [_recipe_row(name, one) for name, one in recipes.items()])
        names = ("mnist", "fashion-mnist", "mnist-low", *TARGETS)
        database.insert("datasets", [_dataset(name) for name in names])
        database.insert("snapshots", _snapshots())
        database.insert("similarity", [_similar(s, t, v, 0.0) for s, t, v in _pairs()])
        database.insert("extractor_similarity", [
            _similar(s, t, v, shift) | {"extractor": extractor}
            for s, t, v in _pairs()
            for extractor, shift in {"hp-mnist@2": -0.02 * (s != "hp-mnist"), f"{s}@2": 0.0}.items()
        ])  # fmt: skip
        database.insert("validations", [row for run in runs for row in run.validations()])
        database.insert("adp", [row for run in runs for row in run.deployed()])
        database.finish(_staged(runs))


def _studies() -> list[dict[str, Any]]:
    root = {"position": 0, "name": "hyperparameters", "title": "Which hyperparameters?",
            "description": "Everything.", "scale": "", "exhibits": [], "claims": []}  # fmt: skip
    return [root] + [
        {"position": place, "name": name, "title": name, "description": f"About {name}.",
         "scale": "Invented.", "exhibits": exhibits, "claims": []}
        for place, (name, exhibits) in enumerate(EXHIBITS.items(), 1)
    ]  # fmt: skip


def _arms(study, label, role, sources, epoch, recipes) -> list[dict[str, Any]]:
    position = 0 if label == "default" else 1
    return [
        {"study": study, "position": position, "arm": label if label in ("default", "scratch")
         else f"{label}:{recipe}", "role": role, "source": source, "epoch": epoch,
         "target": target, "recipe": recipe, "seeds": list(SEEDS)}
        for source in sources for target in TARGETS for recipe in recipes
    ]  # fmt: skip


def _place(arm: dict[str, Any]) -> tuple[str, float, str, str]:
    return arm["source"], arm["epoch"], arm["target"], arm["recipe"]


def _dataset(name: str) -> dict[str, Any]:
    turned = ["rotate-180"] if "turned" in name else []
    few = name in TARGETS
    return {"dataset": name, "size": 28, "channels": 1,
            "classes": [str(k) for k in range(5 if "low" in name or "high" in name else 10)],
            "train": 200 if few else 57_000, "val": 200 if few else 3000,
            "test": 1000 if few else 2500,
            "card": canonical_json({"dataset": name, "transforms": turned})}  # fmt: skip


def _snapshots() -> list[dict[str, Any]]:
    datasets = ("mnist", "fashion-mnist", "mnist-low", "mnist")
    return [
        {"source": source, "epoch": epoch, "dataset": dataset, "backbone": "small-cnn",
         "skips": False, "features": 64, "steps": int(500 * epoch), "val_top1": 0.98,
         "device": "cpu", "precision": "fp32"}
        for source, dataset in zip((*SOURCES, OTHER_NETWORK), datasets, strict=True)
        for epoch in (0.0, 2.0)
    ]  # fmt: skip


def _pairs() -> list[tuple[str, str, float]]:
    return [(s, t, value) for s, own in _SIMILAR.items() for t, value in own.items()]


def _similar(source: str, target: str, value: float, shift: float) -> dict[str, Any]:
    value = value + shift
    return {"source": source, "epoch": 2.0, "target": target, "similarity": value,
            "distance": -100 * math.log(value), "gamma": 0.01, "source_classes": 10,
            "target_classes": 10}  # fmt: skip


class _Run:
    """One invented run: a valley over the log of the effective learning rate."""

    def __init__(self, place: tuple[str, float, str, str], recipe: Recipe, seed: int, noise):
        self.who = dict(zip(("source", "epoch", "target", "recipe"), place, strict=True))
        self.who["seed"] = seed
        self.steps = recipe.steps
        source, epoch, target, _ = place
        elr = recipe.alpha / (1 - recipe.momentum)
        if epoch:
            similarity = _SIMILAR[source][target]
            best = -2.0 + 18 * (0.95 - similarity)
            floor = _HARD[target] * (0.6 + 3 * (0.95 - similarity))
        else:
            best, floor = 0.1, 1.7 * _HARD[target]
        away = math.log10(elr) - best
        error = floor + (0.1 if away < 0 else 0.16) * away**2 - 2 * recipe.weight_decay
        self.error = float(np.clip(error, 0.01, 0.9))
        self.fast = 12 / math.sqrt(10 * elr)
        self.val = [self._accuracy(step, noise, 0.012) for step in self._points()]
        self.test = self._accuracy(self.steps, noise, 0.007)

    def _points(self) -> list[int]:
        return [round(self.steps * (k + 1) / 20) for k in range(20)]

    def _accuracy(self, step: int, noise, spread: float) -> float:
        error = self.error + (0.9 - self.error) * math.exp(-step / self.fast)
        return float(np.clip(1 - error + noise.normal(0, spread), 0.05, 1))

    def validations(self) -> list[dict[str, Any]]:
        return [
            self.who | {"step": step, "phase": "joint", "loss": 2.3 * (1 - top1), "top1": top1,
                        "top5": 1.0, "correct": round(200 * top1), "images": 200}
            for step, top1 in zip(self._points(), self.val, strict=True)
        ]  # fmt: skip

    def deployed(self) -> list[dict[str, Any]]:
        return [
            self.who | {"step": step, "deployed_step": step, "loss": 1.0, "top1": top1,
                        "top5": 1.0, "images": 1000}
            for step, top1 in ((0, 0.1), (self.steps, self.test))
        ]  # fmt: skip


def _staged(runs: list[_Run]) -> pa.Table:
    rows = [
        run.who | {"steps": run.steps, "seconds": 1.0, "device": "cpu", "precision": "fp32",
                   "body_distance": 1.0, "status": "ok", "diverged_step": None,
                   "warmup_end_step": None, "images": 50 * run.steps, "prototype_cosine": 0.9}
        for run in runs
    ]  # fmt: skip
    kinds = {"diverged_step": pa.int64(), "warmup_end_step": pa.int64()}
    return pa.table({
        name: pa.array([row[name] for row in rows], kinds.get(name)) for name in rows[0]
    })  # fmt: skip
