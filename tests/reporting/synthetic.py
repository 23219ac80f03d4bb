"""An invented but plausible results tree, with true records: no number in it was measured.

Six arms on two targets, five seeds; two recipes followed over four snapshots on `digits`.
"""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fastpipe.files import canonical_json, digest, write_json
from fastpipe.stages.collect import CollectSpec

SOURCE, DATASET = "mnist-cnn", "mnist"
TARGETS = {"digits": 360, "fashion-mnist": 10_000}
STEPS, SEEDS, LAST = 200, (0, 1, 2, 3, 4), 3.0
EPOCHS = (0.0, 0.25, 1.0, LAST)
ARMS = {
    "fast": ("FAST", "fast"),
    "baseline+alpha=0.05": ("Baseline 0.05", "baseline"),
    "baseline+alpha=0.01": ("Baseline 0.01", "baseline"),
    "warmup": ("Warm-up", "warmup"),
    "feature-extraction": ("Feature extraction", "feature-extraction"),
    "scratch": ("From scratch", "scratch"),
}
CHECKPOINTS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, STEPS)
VALIDATIONS = (1, 3, 6, 10, 15, 21, 28, 36, 45, 55, *range(65, STEPS, 10), STEPS)
MNIST = [str(digit) for digit in range(10)]
FASHION = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
CLASSES = {"mnist": MNIST, "digits": MNIST, "fashion-mnist": FASHION.split(",")}

# recipe → (accuracy at the end, steps to get half-way, source accuracy kept, body distance)
SHAPES = {
    "fast": (0.972, 3.0, 0.905, 0.9),
    "baseline+alpha=0.05": (0.968, 11.0, 0.705, 5.2),
    "baseline+alpha=0.01": (0.951, 9.0, 0.815, 2.1),
    "warmup": (0.962, 6.5, 0.86, 1.7),
    "feature-extraction": (0.885, 5.5, 0.984, 0.0),
    "scratch": (0.918, 48.0, 0.11, 6.8),
}


def write_results(root: Path, seeds: tuple[int, ...] = SEEDS) -> CollectSpec:
    """Write the tree under `root` and return the spec that collects it."""
    datasets = [_write_dataset(root, name) for name in (DATASET, *TARGETS)]
    snapshots = [_write_snapshot(root, epoch) for epoch in EPOCHS]
    pairs = [(epoch, "digits") for epoch in EPOCHS]
    pairs += [(LAST, target) for target in TARGETS if target != "digits"]
    similarities = [_write_similarity(root, epoch, target) for epoch, target in pairs]
    places = dict.fromkeys(place for _, _, place in _arms())
    packs = [_write_pack(root, *place, seeds) for place in places]
    spec = {
        "study": "demo",
        "studies": [
            {
                "name": "demo",
                "title": "FAST and the usual ways to fine-tune",
                "description": (
                    "A small network has learnt handwritten digits (MNIST). It is adapted to "
                    "another collection of digits, which is similar, and to pictures of clothes, "
                    "which is not."
                ),
                "scale": "A three-layer CNN at 28 × 28 pixels; every number here is invented.",
                "claims": ["A5", "A7", "A9"],
            }
        ],
        "recipes": {recipe: {"alpha": 0.1, "beta": 0.01} for recipe in ARMS},
        "arms": [
            _identity(*place) | {"study": "demo", "arm": label, "role": role, "seeds": list(seeds)}
            for label, role, place in _arms()
        ],
        "packs": packs,
        "datasets": datasets,
        "snapshots": snapshots,
        "similarities": similarities,
        "records": {str(path): f"identity of {path.name}" for path in _records(root)},
    }
    return CollectSpec.model_validate_json(canonical_json(spec))


def _records(root: Path) -> list[Path]:
    folders = [root / name for name in ("datasets", "sources", "similarity", "runs")]
    found = [path for folder in folders for path in sorted(folder.rglob("*.json"))]
    named = [path for path in found if path.name != "card.json"]
    return [path for path in named if not path.name.endswith(".timing.json")]


def _identity(epoch: float, target: str, recipe: str) -> dict[str, Any]:
    return {"source": SOURCE, "epoch": epoch, "target": target, "recipe": recipe}


def _arms() -> list[tuple[str, str, tuple[float, str, str]]]:
    """(label, role, place) of every arm, snapshot and target."""
    main = [
        (label, role, (0.0 if role == "scratch" else LAST, target, recipe))
        for recipe, (label, role) in ARMS.items()
        for target in TARGETS
    ]
    by_epoch = [
        (f"{recipe}-by-epoch", "other", (epoch, "digits", recipe))
        for recipe in ("fast", "baseline+alpha=0.05")
        for epoch in EPOCHS
    ]
    return main + by_epoch


def record(folder: Path, name: str, spec: Any, outputs: list[str], facts: Any) -> None:
    """Write a record over files that exist."""
    write_json(
        folder / f"{name}.json",
        {"identity": f"identity of {name}.json", "inputs": {}, "versions": {}, "spec": spec,
         "outputs": {output: digest(folder / output) for output in outputs}, "facts": facts},
    )  # fmt: skip


def _write_dataset(root: Path, name: str) -> dict[str, Any]:
    folder = root / "datasets" / name
    counts = {"train": 4750, "val": 250, "test": TARGETS.get(name, 10_000)}
    per_class = {"train": [500 - 10 * label for label in range(10)]}
    card = {"dataset": name, "counts": counts, "per_class": per_class}
    write_json(folder / "card.json", card)
    facts = {"classes": CLASSES[name], "size": 28, "channels": 1}
    for part, count in counts.items():
        outputs = ["card.json"] if part == "test" else []
        spec = {"dataset": name, "part": part}
        record(folder, f"prepare-{part}", spec, outputs, facts | {"count": count})
    return {"name": name, "path": str(folder)}


def _write_snapshot(root: Path, epoch: float) -> dict[str, Any]:
    folder = root / "sources" / SOURCE / f"epoch-{epoch:g}"
    folder.mkdir(parents=True, exist_ok=True)
    steps = [step for step in range(1, 1501) if step <= 500 * epoch]
    write_parquet(
        folder / "history.parquet",
        {"source": [SOURCE] * len(steps), "epoch": [step / 500 for step in steps], "step": steps,
         "split": ["train"] * len(steps), "loss": [2.3 / (1 + s / 30) for s in steps],
         "top1": [1 - 0.9 / (1 + s / 30) for s in steps]},
        {"source": pa.string(), "epoch": pa.float64(), "step": pa.int64(), "split": pa.string(),
         "loss": pa.float64(), "top1": pa.float64()},
    )  # fmt: skip
    record(
        folder, "pretrain",
        {"source": SOURCE, "epoch": epoch, "dataset": DATASET, "backbone": {"name": "small-cnn"}},
        ["history.parquet"],
        {"device": "cpu", "precision": "bf16", "classes": MNIST, "features": 64,
         "steps": len(steps), "val_top1": 0.11 if not epoch else 0.985 - 0.03 / (1 + 4 * epoch)},
    )  # fmt: skip
    return {"source": SOURCE, "epoch": epoch, "path": str(folder)}


def _write_similarity(root: Path, epoch: float, target: str) -> dict[str, Any]:
    folder = root / "similarity" / f"{SOURCE}@{epoch:g}" / target
    folder.mkdir(parents=True, exist_ok=True)
    distance = (9.0 if target == "digits" else 17.0) * (0.35 + 0.65 * min(1.0, epoch / 1.5))
    who = {"source": SOURCE, "epoch": epoch, "target": target}
    write_parquet(
        folder / "similarity.parquet",
        {name: [value] for name, value in who.items()}
        | {"extractor": [f"{SOURCE}@{epoch:g}"], "distance": [distance],
           "similarity": [math.exp(-0.01 * distance)], "gamma": [0.01],
           "source_classes": [10], "target_classes": [10]},
    )  # fmt: skip
    draws = np.random.default_rng(7).dirichlet(np.full(10, 0.12), size=10)
    own = np.eye(10) if target == "digits" else np.zeros((10, 10))
    flow = (0.8 * own + 0.2 * draws if target == "digits" else draws) / 10
    cells = [(i, j) for j in range(10) for i in range(10) if flow[j, i] > 1e-3]
    write_parquet(
        folder / "flow.parquet",
        {name: [value] * len(cells) for name, value in who.items()}
        | {"source_class": [MNIST[i] for i, _ in cells],
           "target_class": [CLASSES[target][j] for _, j in cells],
           "flow": [float(flow[j, i]) for i, j in cells]},
    )  # fmt: skip
    outputs = ["similarity.parquet", "flow.parquet"]
    record(folder, "similarity", who | {"gamma": 0.01}, outputs, {})
    return who | {"path": str(folder)}


def _write_pack(
    root: Path, epoch: float, target: str, recipe: str, seeds: tuple[int, ...]
) -> dict[str, Any]:
    folder = root / "runs" / f"{SOURCE}@{epoch:g}" / target / recipe / "seeds-0-4"
    folder.mkdir(parents=True, exist_ok=True)
    who = _identity(epoch, target, recipe)
    tables = _simulate(epoch, target, recipe)
    for table, rows in tables.items():
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        identity = {name: [value] * len(rows) for name, value in who.items()}
        write_parquet(folder / f"{table}.parquet", identity | columns, _TYPES)
    write_json(
        folder / "finetune.timing.json",
        {"seconds": 21.0, "run_seconds": {str(s): 4.1 + 0.05 * s for s in SEEDS}},
    )
    spec = who | {"seeds": list(SEEDS)}
    trained = [f"{name}.parquet" for name in (*_TRAINED, "runs")]
    record(folder, "finetune", spec, trained, {"device": "cpu", "precision": "bf16"})
    record(folder, "deploy", spec, ["adp.parquet", "confusion.parquet"], {})
    record(folder, "forgetting", spec, ["forgetting.parquet"], {})
    return who | {"path": str(folder), "seeds": list(seeds)}


_TRAINED = ("steps", "dynamics", "validations", "deployments", "layers")

_TYPES = {"diverged_step": pa.int64(), "warmup_end_step": pa.int64(), "loss": pa.float64()}


def _simulate(epoch: float, target: str, recipe: str) -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in (*_TRAINED, "runs", "adp", "confusion", "forgetting")
    }
    for seed in SEEDS:
        for name, rows in _simulate_run(epoch, target, recipe, seed).items():
            tables[name] += [{"seed": seed} | row for row in rows]
    return tables


def _simulate_run(
    epoch: float, target: str, recipe: str, seed: int
) -> dict[str, list[dict[str, Any]]]:
    salt = int.from_bytes(hashlib.sha256(f"{recipe} {epoch} {target}".encode()).digest()[:4])
    noise = np.random.default_rng([salt, seed])
    pairing = np.random.default_rng([99, seed]).normal(0, 0.01)  # what runs of a seed share
    own = noise.normal(0, 0.012)
    end, half, kept, distance = SHAPES[recipe]
    if target != "digits":
        end, half, kept = end - 0.125, half * 2.2, kept - 0.17 * (recipe != "feature-extraction")
    if recipe != "scratch" and epoch < LAST:
        half, end = half * (1 + 9 / (1 + 12 * epoch)), end - 0.05 / (1 + 10 * epoch)
    switch = 36 + 9 * (seed % 2) if recipe == "warmup" else None

    def accuracy(step: int) -> float:
        value = 0.1 + (end - 0.1) * (1 - (1 + step / half) ** -1.3)
        if switch and step > switch:
            value -= 0.24 * math.exp(-(step - switch) / 16)
        return float(
            np.clip(value + pairing + own + noise.normal(0, 0.02 / (1 + step / 20)), 0.05, 1)
        )

    val = {step: accuracy(step) for step in (0, *VALIDATIONS)}
    best = {t: max((s for s in VALIDATIONS if s <= t), key=lambda s: (val[s], -s), default=0)
            for t in CHECKPOINTS}  # fmt: skip
    best[0] = 0
    test = {step: accuracy(step) for step in set(best.values())}
    before = 0.11 if epoch == 0 else 0.984 - 0.03 / (1 + 4 * epoch)

    def retained(step: int) -> float:
        lost = (before - kept) * (1 - math.exp(-step / (60 if recipe == "fast" else 14)))
        return float(np.clip(before - max(lost, 0) + noise.normal(0, 0.006) * (step > 0), 0, 1))

    source = {step: before if recipe == "feature-extraction" else retained(step) for step in test}
    start = 2.5e-7 if recipe == "fast" else 4.47
    growth = 2.6 if recipe in ("fast", "feature-extraction", "warmup") else 0.9
    size = 1 + 5 * pairing
    norms = [size * math.hypot(start, growth * math.log1p(t / half)) for t in range(STEPS + 1)]
    end_state = {"warmup_end_step": switch, "body_distance": distance * (1 + noise.normal(0, 0.04))}
    return _rows(target, val, norms, best, test, source, before, end_state)


def _rows(
    target: str,
    val: dict[int, float],
    norms: list[float],
    best: dict[int, int],
    test: dict[int, float],
    source: dict[int, float],
    before: float,
    end_state: dict[str, Any],
) -> dict[str, list[dict[str, Any]]]:
    """Rows of each table of one run."""
    switch = end_state["warmup_end_step"]
    return {
        "steps": [
            {"step": step, "loss": None if step == 0 else 2.3 * (1 - val_at(val, step)) + 0.05,
             "head_norm": norms[step], "diverged": False}
            for step in range(STEPS + 1)
        ],
        "dynamics": [
            {"step": step, "squared_error": 0.9 * (1 - val[step]), "entropy": 2.3 * (1 - val[step]),
             "soft_accuracy": val[step], "feature_gradient": 0.1, "head_update": 0.1,
             "body_update": 0.01 * end_state["body_distance"]}
            for step in VALIDATIONS
        ],
        "layers": [
            {"position": position, "layer": layer, "parameters": 144,
             "distance": end_state["body_distance"] / math.sqrt(2)}
            for position, layer in enumerate(("0", "3"))
        ],
        "validations": [
            {"step": step, "phase": "warmup" if switch and step <= switch else "joint",
             "loss": 2.3 * (1 - val[step]), "top1": val[step],
             "top5": min(1.0, 0.5 + val[step] / 2), "correct": round(250 * val[step]),
             "images": 250}
            for step in VALIDATIONS
        ],
        "deployments": [{"step": t, "deployed_step": s} for t, s in best.items()],
        "adp": [
            {"step": t, "deployed_step": s, "loss": 2.3 * (1 - test[s]), "top1": test[s],
             "top5": min(1.0, 0.5 + test[s] / 2), "images": TARGETS.get(target, 10_000)}
            for t, s in best.items()
        ],
        "confusion": confusion(TARGETS.get(target, 10_000), test[best[STEPS]]),
        "forgetting": [
            {"step": t, "deployed_step": s, "top1": source[s],
             "top5": min(1.0, 0.5 + source[s] / 2), "top1_before": before,
             "forgotten": before - source[s]}
            for t, s in best.items()
        ],
        "runs": [
            {"steps": STEPS, "status": "ok", "diverged_step": None, "images": STEPS * 100,
             "prototype_cosine": 0.99}
            | end_state
        ],
    }  # fmt: skip


def confusion(images: int, top1: float) -> list[dict[str, int]]:
    """Ten classes; class i has more images than class i + 1, and its mistakes go to i + 1."""
    sizes = [images * (15 - label) // 105 for label in range(10)]
    rows = []
    for label, size in enumerate(sizes):
        right = min(size, round(size * max(0.0, top1 - 0.01 * label)))
        rows.append({"label": label, "predicted": label, "images": right})
        if right < size:
            wrong = {"label": label, "predicted": (label + 1) % 10, "images": size - right}
            rows.append(wrong)
    return sorted(rows, key=lambda row: (row["label"], row["predicted"]))


def val_at(val: dict[int, float], step: int) -> float:
    """Accuracy at the last validation up to a step."""
    return val[max(s for s in val if s <= step)]


def write_parquet(
    path: Path, columns: dict[str, list], types: dict[str, pa.DataType] | None = None
):
    """Write columns, with explicit types where inference would not do."""
    types = types or {}
    arrays = {name: pa.array(values, types.get(name)) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), path, compression="zstd")


# --- the studies of the FAST paper ----------------------------------------------------------------

FAST_SEEDS = (0, 1, 2)
SOURCES = {"smooth": True, "rough": False}
"""Sources with and without skip connections."""
SIGMAS = (1.0, 1e-1, 1e-2, 1e-4, 1e-8)
C = 0.05
FAST_SIZE = {"head_init": "normal", "head_sigma": 1e-8}


def fast_studies() -> dict[str, dict[str, Any]]:
    """Name → exhibits and arms (label → role, recipe), sources and targets."""
    sigmas = {
        f"sigma {sigma:g}": ("other", {"head_init": "normal", "head_sigma": sigma})
        for sigma in SIGMAS
    } | {"zero": ("other", {"head_init": "zeros"})}
    warmups = {
        "warm fan-in": {"warmup": "frozen-stats"},
        "warm fan-out": {"warmup": "frozen-stats", "head_init": "kaiming-fan-out"},
        "warm fan-in, stats": {"warmup": "running-stats"},
        "warm small, stats": {"warmup": "running-stats"} | FAST_SIZE,
    }
    middling = {"head_init": "normal", "head_sigma": 1e-2}
    scaled = {
        "reference": (C, C), "both x0.2": (C / 5, C / 5), "both x5": (5 * C, 5 * C),
        "body x0.2": (C, C / 5), "body x5": (C, 5 * C),
    }  # fmt: skip
    return {
        "init": {"exhibits": ["A-F3", "A-F4", "A-F5"], "arms": sigmas, "sources": ["smooth"],
                 "targets": ["mnist", "fashion-mnist"]},
        "heterogeneity": {
            "exhibits": ["A-F6", "A-F7"], "sources": ["smooth"], "targets": ["fashion-mnist"],
            "arms": {"frozen head": ("other", middling | {"alpha": 0.0}),
                     "learning head": ("other", middling)}
            | {label: ("warmup", recipe) for label, recipe in warmups.items()},
        },
        "rates": {
            "exhibits": ["A-F8", "A-F9"], "sources": list(SOURCES), "targets": ["fashion-mnist"],
            "arms": {label: ("other", FAST_SIZE | {"alpha": alpha, "beta": beta})
                     for label, (alpha, beta) in scaled.items()},
        },
        "optimisers": {
            "exhibits": ["A-F10", "A-F11", "A-F12", "A-F13"], "sources": list(SOURCES),
            "targets": ["fashion-mnist"], "arms": _optimiser_arms(),
        },
        "convergence": {
            "exhibits": ["A-F14", "A-T1", "momentum-form", "layer-distance", "dynamics"],
            "sources": ["smooth"], "targets": ["digits", "fashion-mnist"],
            "arms": {f"Baseline {rate:g}": ("baseline", {"alpha": rate, "beta": rate})
                     for rate in (5 * C, C, C / 5)}
            | {"FAST": ("fast", FAST_SIZE | {"alpha": 4 * C}),
               "FAST, averaged": ("other", FAST_SIZE | {"alpha": 4 * C, "momentum_form": "ema"})},
        },
    }  # fmt: skip


def _optimiser_arms() -> dict[str, tuple[str, dict[str, Any]]]:
    """FAST under four optimisers and three baselines under each of three: thirteen arms."""
    arms: dict[str, tuple[str, dict[str, Any]]] = {}
    for optimiser in ("sgd", "nesterov", "adam", "radam"):
        arms[f"FAST {optimiser}"] = ("fast", FAST_SIZE | {"alpha": 4 * C, "optimiser": optimiser})
        for factor in (5, 1, 0.2) if optimiser != "nesterov" else ():
            rates = {"alpha": factor * C, "beta": factor * C, "optimiser": optimiser}
            arms[f"{optimiser} {factor:g} c"] = ("baseline", rates)
    return arms


def write_fast_results(root: Path) -> CollectSpec:
    """A study without arms that includes those of the paper, with three seeds each."""
    studies = fast_studies()
    datasets = [_write_dataset(root, name) for name in (DATASET, *TARGETS)]
    snapshots = [_write_source(root, source, skips) for source, skips in SOURCES.items()]
    recipes, arms, packs = {}, [], {}
    for study, facts in studies.items():
        for label, (role, own) in facts["arms"].items():
            recipe = {"alpha": C, "beta": C, "head_init": "kaiming-fan-in"} | own
            name = "+".join(f"{key}={value}" for key, value in sorted(recipe.items()))
            recipes[name] = recipe
            for source in facts["sources"]:
                for target in facts["targets"]:
                    who = {"source": source, "epoch": LAST, "target": target, "recipe": name}
                    arms.append(who | {"study": study, "arm": label, "role": role,
                                       "seeds": list(FAST_SEEDS)})  # fmt: skip
                    packs.setdefault((source, target, name), who)
    named = [_write_fast_pack(root, who, recipes[who["recipe"]]) for who in packs.values()]
    spec = {
        "study": "fast",
        "studies": [{"name": "fast", "title": "The FAST paper", "scale": "Invented."}]
        + [
            {"name": name, "title": name, "exhibits": facts["exhibits"],
             "scale": f"The scale of {name}."}
            for name, facts in studies.items()
        ],
        "recipes": recipes, "arms": arms, "packs": named, "datasets": datasets,
        "snapshots": snapshots, "similarities": [],
        "records": {str(path): f"identity of {path.name}" for path in _records(root)},
    }  # fmt: skip
    return CollectSpec.model_validate_json(canonical_json(spec))


def _write_source(root: Path, source: str, skips: bool) -> dict[str, Any]:
    folder = root / "sources" / source / f"epoch-{LAST:g}"
    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(
        folder / "history.parquet",
        {"source": [source], "epoch": [1.0], "step": [1], "split": ["train"], "loss": [2.0],
         "top1": [0.3]},
    )  # fmt: skip
    backbone = {"name": "resnet18" if skips else "vgg19"}
    record(
        folder, "pretrain",
        {"source": source, "epoch": LAST, "dataset": DATASET, "backbone": backbone},
        ["history.parquet"],
        {"device": "cpu", "precision": "bf16", "classes": MNIST, "features": 64, "steps": 1500,
         "val_top1": 0.98},
    )  # fmt: skip
    return {"source": source, "epoch": LAST, "path": str(folder), "skips": skips}


def _write_fast_pack(root: Path, who: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    name = hashlib.sha256(str(who).encode()).hexdigest()[:12]
    folder = root / "runs" / f"{who['source']}@{LAST:g}" / who["target"] / name / "seeds-0-2"
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, list[dict[str, Any]]] = {}
    for seed in FAST_SEEDS:
        for table, rows in _simulate_fast_run(who, recipe, seed).items():
            tables.setdefault(table, []).extend({"seed": seed} | row for row in rows)
    for table, rows in tables.items():
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        identity = {key: [value] * len(rows) for key, value in who.items()}
        write_parquet(folder / f"{table}.parquet", identity | columns, _TYPES)
    spec = who | {"seeds": list(FAST_SEEDS)}
    trained = [f"{table}.parquet" for table in (*_TRAINED, "runs")]
    record(folder, "finetune", spec, trained, {"device": "cpu", "precision": "bf16"})
    record(folder, "deploy", spec, ["adp.parquet", "confusion.parquet"], {})
    record(folder, "forgetting", spec, ["forgetting.parquet"], {})
    return who | {"path": str(folder), "seeds": list(FAST_SEEDS)}


def _simulate_fast_run(
    who: dict[str, Any], recipe: dict[str, Any], seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Smaller heads are faster, forget less and grow; rates trade speed for the end."""
    salt = int.from_bytes(hashlib.sha256(str(who).encode()).digest()[:4])
    noise = np.random.default_rng([salt, seed])
    sigma = {"normal": recipe.get("head_sigma", 1e-8), "zeros": 0.0}.get(recipe["head_init"], 0.18)
    large = max(0.0, 1 + math.log10(max(sigma, 1e-8)) / 8)  # 0 for 1e-8, 1 for 1
    rate = max(recipe["beta"], 1e-3) / C
    slow = 5 if recipe["alpha"] == 0 else 1
    half = (3 + 12 * large) * slow / math.sqrt(rate)
    end = 0.94 - 0.05 * large * math.sqrt(rate) - 0.02 * math.log10(max(rate, 1)) - 0.1 * (slow > 1)
    end -= 0.1 * (who["source"] == "rough") * large
    switch = 36 + 9 * (salt % 4) if recipe.get("warmup", "none") != "none" else None

    def accuracy(step: int) -> float:
        value = 0.1 + (end - 0.1) * (1 - (1 + step / half) ** -1.3)
        if switch and step > switch:
            value -= 0.3 * math.exp(-(step - switch) / 12)
        return float(np.clip(value + noise.normal(0, 0.012), 0.05, 1))

    val = {step: accuracy(step) for step in (0, *VALIDATIONS)}
    best = {t: max((s for s in VALIDATIONS if s <= t), key=lambda s: (val[s], -s), default=0)
            for t in CHECKPOINTS}  # fmt: skip
    test = {step: accuracy(step) for step in set(best.values())}
    kept = 0.9 - 0.75 * large if who["target"] == DATASET else 0.25 - 0.1 * large
    source = {step: 0.98 - (0.98 - kept) * (1 - math.exp(-step / 20)) for step in test}
    start = sigma * 25
    norms = [math.hypot(start, recipe["alpha"] * 12 * math.log1p(t / 3)) for t in range(STEPS + 1)]
    distance = (0.9 + 6 * large) * math.sqrt(rate) * (1 + noise.normal(0, 0.04))
    rows = _rows(who["target"], val, norms, best, test, source, 0.98,
                 {"warmup_end_step": switch, "body_distance": distance})  # fmt: skip
    for row in rows["dynamics"]:
        row["body_update"] = 0.05 * rate * (large + math.log1p(row["step"]) / 6)
    rows["layers"] = [
        {"position": p, "layer": f"block{p}", "parameters": 9 * 4**p, "distance": distance / 2**p}
        for p in range(6)
    ]
    return rows
