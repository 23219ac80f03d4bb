"""An invented database of the hyperparameters paper's studies: no number in it was measured.

Studies, arms and recipes are those of the configuration; three seeds. Rows are written straight
into a :class:`StudyDatabase`, whose own SQL makes the rest.
"""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fastpipe.config.expansion import Runs, runs_of, study_targets
from fastpipe.config.load import load, yaml_files
from fastpipe.config.recipe import Recipe
from fastpipe.reporting.database.build import StudyDatabase
from fastpipe.stages.collect import _recipe_row

ROOT = Path(__file__).parents[2]
STUDIES = {
    "hp-grid": ["similarity"],
    "hp-momentum": ["C-F1", "C-F7", "C-F2"],
    "hp-regularisers": ["C-T5", "C-F6"],
    "hp-batchnorm": ["C-F10"],
    "hp-augmentation": ["C-T6", "C-F11", "C-F12"],
    "hp-scratch": ["C-T7", "C-T8", "C-F13"],
}
"""Study → the exhibits it asks for."""
TARGETS = (
    "mnist-few", "digits-few", "mnist-high", "mnist-turned", "mnist-inverted", "fashion-few",
    "fashion-turned",
)  # fmt: skip
"""From the most similar to `hp-mnist` to the least."""
_HARD = dict(zip(TARGETS, (0.06, 0.08, 0.12, 0.13, 0.15, 0.24, 0.29), strict=True))
SEEDS = (0, 1, 2)
_NETWORK_NORM = 20.0


def write_tuning_database(path: Path) -> None:
    """Write the database of a study that includes all of `STUDIES`."""
    config = load(yaml_files(ROOT / "config"))
    targets = study_targets(config)
    runs = {study: list(runs_of(config, targets[study])) for study in STUDIES}
    recipes = {one.variant: one.recipe for own in runs.values() for one in own}
    places = {_place(one): one for own in runs.values() for one in own}
    invented = [_Run(one, seed) for one in places.values() for seed in SEEDS]
    curved = {_place(one) for study, own in runs.items() for one in own if study != "hp-grid"}
    with StudyDatabase(path) as database:
        database.insert("studies", _studies())
        database.insert("arms", [row for study, own in runs.items() for row in _arms(study, own)])
        database.insert("recipes", [_recipe_row(name, one) for name, one in recipes.items()])
        database.insert("datasets", [
            {"dataset": name, "size": 28, "channels": 1, "train": 200, "val": 200, "test": 1000,
             "classes": [str(k) for k in range(10)], "card": "{}"}
            for name in ("mnist", *TARGETS)
        ])  # fmt: skip
        database.insert("snapshots", [
            {"source": source, "epoch": epoch, "dataset": "mnist", "backbone": "small-cnn",
             "skips": False, "features": 64, "steps": 1000, "val_top1": accuracy,
             "device": "cpu", "precision": "fp32"}
            for source, accuracy in (("hp-mnist", 0.985), ("hp-fashion", 0.9), ("hp-low", 0.99))
            for epoch in (0.0, 2.0)
        ])  # fmt: skip
        database.insert("similarity", [
            {"source": "hp-mnist", "epoch": 2.0, "target": target, "distance": 5.0 + place,
             "similarity": math.exp(-0.05 - 0.01 * place), "gamma": 0.01, "source_classes": 10,
             "target_classes": 10}
            for place, target in enumerate(TARGETS)
        ])  # fmt: skip
        for table in ("validations", "adp", "confusion"):
            database.insert(table, [row for run in invented for row in getattr(run, table)()])
        for table in ("steps", "dynamics"):
            database.insert(table, [row for run in invented if run.place in curved
                                    for row in getattr(run, table)()])  # fmt: skip
        database.finish(_staged(invented))


def _studies() -> list[dict[str, Any]]:
    root = {"position": 0, "name": "hyperparameters", "title": "Which hyperparameters?",
            "description": "Everything.", "scale": "", "exhibits": [], "claims": [],
            "includes": list(STUDIES)}  # fmt: skip
    return [root] + [
        {"position": place, "name": name, "title": name, "description": f"About {name}.",
         "scale": "Invented.", "exhibits": exhibits, "claims": [],
         "includes": ["hp-grid"] if name == "hp-scratch" else []}
        for place, (name, exhibits) in enumerate(STUDIES.items(), 1)
    ]  # fmt: skip


def _place(one: Runs) -> tuple[str, float, str, str]:
    return one.snapshot.source, one.snapshot.epoch, one.target, one.variant


def _arms(study: str, runs: list[Runs]) -> list[dict[str, Any]]:
    labels = {label: place for place, label in enumerate(dict.fromkeys(r.label for r in runs))}
    return [
        dict(zip(("source", "epoch", "target", "recipe"), _place(one), strict=True))
        | {"study": study, "position": labels[one.label], "arm": one.label, "role": one.role,
           "seeds": list(SEEDS)}
        for one in runs
    ]  # fmt: skip


class _Run:
    """One invented run: a valley over the log of the effective learning rate."""

    def __init__(self, one: Runs, seed: int):
        self.place = _place(one)
        self.who = dict(zip(("source", "epoch", "target", "recipe"), self.place, strict=True))
        self.who["seed"] = seed
        self.recipe: Recipe = one.recipe
        salt = hashlib.sha256(str(self.place).encode()).digest()[:4]
        self.noise = np.random.default_rng([int.from_bytes(salt), seed])
        elr = self.recipe.alpha / (1 - self.recipe.momentum)
        hard = _HARD[one.target] * (1.0 if one.snapshot.epoch else 1.8)
        away = math.log10(elr) - (-2.2 + 5 * hard if one.snapshot.epoch else -0.5)
        strong = {"resized": 0.06, "random": 0.02}.get(self.recipe.crop, 0.0)
        self.error = float(np.clip(hard + (0.05 + strong) * away**2 - strong * hard
                                   - 2 * self.recipe.weight_decay * hard, 0.01, 0.9))  # fmt: skip
        self.fast = (1 + 20 * strong) * 12 / math.sqrt(10 * elr)
        self.steps_done = self.recipe.steps
        self.points = [round(self.steps_done * (k + 1) / 20) for k in range(20)]
        self.val = [self._accuracy(step, 0.012) for step in self.points]
        self.test = self._accuracy(self.steps_done, 0.007)

    def _accuracy(self, step: int, spread: float) -> float:
        error = self.error + (0.9 - self.error) * math.exp(-step / self.fast)
        return float(np.clip(1 - error + self.noise.normal(0, spread), 0.05, 1))

    def validations(self) -> list[dict[str, Any]]:
        return [
            self.who | {"step": step, "phase": "joint", "loss": 2.3 * (1 - top1), "top1": top1,
                        "top5": 1.0, "correct": round(200 * top1), "images": 200}
            for step, top1 in zip(self.points, self.val, strict=True)
        ]  # fmt: skip

    def adp(self) -> list[dict[str, Any]]:
        return [
            self.who | {"step": step, "deployed_step": step, "loss": 1.0, "top1": top1,
                        "top5": 1.0, "images": 1000}
            for step, top1 in ((0, 0.1), (self.steps_done, self.test))
        ]  # fmt: skip

    def confusion(self) -> list[dict[str, Any]]:
        """Two classes of different size; the smaller one is the harder."""
        right = (min(700, round(720 * self.test)), round(300 * self.test))
        return [
            self.who | {"label": label, "predicted": said, "images": images}
            for label, of in ((0, 700), (1, 300))
            for said, images in ((label, right[label]), (1 - label, of - right[label]))
            if images
        ]

    def steps(self) -> list[dict[str, Any]]:
        """Every fifth step, to keep it small."""
        grown = 1 + 0.4 * self.recipe.alpha * 10
        return [
            self.who | {"step": step, "diverged": False,
                        "head_norm": 1 + grown * (1 - math.exp(-step / 40)),
                        "loss": None if step == 0 else 2.3 * math.exp(-step / self.fast / 2)
                        + 0.02 * math.exp(self.noise.normal(0, 0.3))}
            for step in sorted({*range(0, self.steps_done + 1, 5), *self.points})
        ]  # fmt: skip

    def dynamics(self) -> list[dict[str, Any]]:
        decay = self.recipe.alpha * self.recipe.weight_decay / (1 - self.recipe.momentum)
        return [
            self.who | {"step": step, "squared_error": 0.5, "entropy": 1.0, "soft_accuracy": 0.5,
                        "feature_gradient": 0.1, "head_update": 0.1, "body_update": 0.1,
                        "body_norm": _NETWORK_NORM * math.exp(-decay * step) + 0.01 * step,
                        "body_distance": 3 * (1 - math.exp(-step / 30)) * self.recipe.alpha * 30}
            for step in self.points
        ]  # fmt: skip


def _staged(runs: list[_Run]) -> pa.Table:
    rows = [
        run.who | {"steps": run.steps_done, "seconds": 1.0, "device": "cpu", "precision": "fp32",
                   "body_distance": 1.0, "status": "ok", "diverged_step": None,
                   "warmup_end_step": None, "images": 50 * run.steps_done,
                   "prototype_cosine": 0.9}
        for run in runs
    ]  # fmt: skip
    kinds = {"diverged_step": pa.int64(), "warmup_end_step": pa.int64()}
    return pa.table({
        name: pa.array([row[name] for row in rows], kinds.get(name)) for name in rows[0]
    })  # fmt: skip
