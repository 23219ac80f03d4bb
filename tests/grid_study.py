"""An invented study of a grid, as `collect` would leave it: no number in it was measured.

From two sources to six targets; the more similar a target, the smaller its best rate, and one
weight decay is always a little worse than the other.
"""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa

from fastpipe.advice.evaluation import advice_rows
from fastpipe.advice.grid import GRID_QUERY
from fastpipe.reporting.database.build import StudyDatabase

SOURCES = {"src": 0.0, "other": 0.03}
SIMILARITY = {"a": 0.93, "b": 0.9, "c": 0.86, "d": 0.81, "e": 0.77, "f": 0.7}
RATES, MOMENTA, DECAYS = (0.003, 0.01, 0.03, 0.1, 0.3), (0.9, 0.0), (0.005, 0.0)
DEFAULT = (0.01, 0.9, 0.005)
SEEDS = range(3)
STUDY = "grid"


def arm_name(lr: float, momentum: float, decay: float) -> str:
    return f"grid+lr={lr:g}+momentum={momentum:g}+weight_decay={decay:g}"


def write_grid_study(
    path: Path, *, slope: float = 10.0, default: tuple = DEFAULT,
    exhibits: tuple = ("advice",), claims: tuple = ("C8",),
) -> Path:  # fmt: skip
    """Write the database; log10 of the best rate falls by `slope` per unit of similarity."""
    points = list(itertools.product(RATES, MOMENTA, DECAYS))
    noise = np.random.default_rng(4)
    arms, similarity, validations, adp, runs = [], [], [], [], []
    for (source, shift), (target, alike) in itertools.product(SOURCES.items(), SIMILARITY.items()):
        who = {"source": source, "epoch": 2.0, "target": target}
        distance = -100 * np.log(alike - shift)
        similarity.append(
            who | {"distance": distance, "similarity": alike - shift, "gamma": 0.01,
                   "source_classes": 10, "target_classes": 10}
        )  # fmt: skip
        for position, point in enumerate([default, *points]):
            label, role = ("default", "baseline") if not position else (arm_name(*point), "other")
            arm = {"study": STUDY, "position": position, "arm": label, "role": role}
            arms.append(arm | who | {"recipe": _recipe(*point), "seeds": list(SEEDS)})
        for point, seed in itertools.product(points, SEEDS):
            lr, momentum, decay = point
            off = np.log10(lr / (1 - momentum)) - (-0.8 - slope * (alike - shift - 0.8))
            top1 = 0.92 - 0.06 * off**2 - 0.004 * (decay == 0) + noise.normal(0, 0.004, 2)
            run = who | {"recipe": _recipe(*point), "seed": seed}
            runs.append(run | {"status": "ok", "steps": 150})
            validations.append(run | {"step": 150, "top1": top1[0], "phase": "joint"})
            adp.append(run | {"step": 150, "deployed_step": 150, "top1": top1[1] - 0.01})
    with StudyDatabase(path) as database:
        database.insert(
            "studies",
            [{"position": 0, "name": STUDY, "title": "A grid", "description": "Invented.",
              "scale": "Invented.", "exhibits": list(exhibits), "claims": list(claims)}],
        )  # fmt: skip
        database.insert(
            "recipes",
            [
                {"recipe": _recipe(*point), "alpha": point[0], "beta": point[0],
                 "optimiser": "nesterov", "momentum": point[1], "weight_decay": point[2],
                 "lambda": point[2], "elr": point[0] / (1 - point[1]), "steps": 150}
                for point in points
            ],
        )  # fmt: skip
        database.insert(
            "snapshots",
            [{"source": s, "epoch": 2.0, "dataset": "own", "backbone": "small-cnn"}
             for s in SOURCES],
        )  # fmt: skip
        for table, rows in (("arms", arms), ("similarity", similarity),
                            ("validations", validations), ("adp", adp)):  # fmt: skip
            database.insert(table, rows)
        database.finish(
            pa.Table.from_pylist(runs),
            {"advice": lambda whole: advice_rows(whole.rows(GRID_QUERY))},
        )
    return path


def _recipe(lr: float, momentum: float, decay: float) -> str:
    parts = [f"{n}={v:g}" for n, v in (("lr", lr), ("momentum", momentum), ("wd", decay))]
    return "+".join(["fine-tune", *parts])
