"""A run's deployed model as files that stand alone: tensors, and a card that says what they are.

The tensors are those of the state deployed at the run's last checkpoint, as the run wrote them:
`normalise.*`, `body.*`, `head.*`; or, for a network of torchvision's, under the names of its plain
model with a new final layer. The card has what is needed to use and to judge them.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import torch
from torch import Tensor

from fastpipe.config.backbone_names import OURS, is_timm
from fastpipe.config.names import RESULTS, number_name
from fastpipe.config.packed import PACKED, Packed
from fastpipe.crash import crash_point
from fastpipe.errors import UserError
from fastpipe.files import (
    canonical_json,
    digest,
    flush_to_disk,
    read_json,
    write_json,
    writing,
)
from fastpipe.integrity import read_record, verify
from fastpipe.models.backbones import head_place, torchvision_model
from fastpipe.models.blank import WithoutDrawing
from fastpipe.models.checkpoint import load_tensors, save_tensors

__all__ = ["export", "find_run"]

_PICKLES = (".pt", ".pth")
_AUXILIARY = ("googlenet", "inception_v3")
"""Models with auxiliary classifiers, which serve only training and are left out."""

_SPLITS = ("train", "val", "test")


class Run(NamedTuple):
    """One run of a pack."""

    pack: Path
    seed: int

    @property
    def record(self) -> Path:
        """What vouches for its files."""
        return self.pack / "finetune.json"

    @property
    def results(self) -> Path:
        """The results folder: its pack is `runs/source@epoch/target/variant/seeds-a-b` there."""
        return self.pack.absolute().parents[4]


def export(
    path: Path,
    out: Path,
    *,
    seed: int | None = None,
    torchvision: bool = False,
    force: bool = False,
) -> tuple[Path, Path]:
    """Write the state deployed at a run's last checkpoint, and a JSON card beside it.

    Args:
        path: folder of a pack (`…/seeds-0-4`), or of a variant with one pack that fits.
        out: `FILE.safetensors`; with `torchvision` also `FILE.pt`, which `torch.load` reads with
            `weights_only=True`. The card is `FILE.json`.
        seed: which run of the pack; default: the first.
        torchvision: names of torchvision's plain model; a head without bias gets zeros.
        force: replace files that are there.

    Returns:
        The file of the model and the card.

    Raises:
        UserError: there is no such run, a file of it is missing, damaged or was left out of a
            pack, its dataset or its scores are not those it was made with, the network is none of
            torchvision's, a file would be overwritten, or nothing can be written there.
    """
    card_path = _refuse_places(out, torchvision, force)
    run = find_run(path, seed)
    step, state = _deployed_state(run)
    card = _card(run, step)
    tensors = load_tensors(state)
    card["preprocessing"] |= {k: tensors[f"normalise.{k}"].tolist() for k in ("mean", "std")}
    card["preprocessing"]["inside_the_model"] = not torchvision
    if torchvision:
        tensors, card["use"] = _as_torchvision(card["backbone"]["name"], tensors)
    else:
        card["use"] = _use(out)
    try:
        save = lambda temporary: _save(temporary, tensors, out.suffix, card)  # noqa: E731
        needed = sum(tensor.nbytes for tensor in tensors.values())
        _write_atomically(out, card_path, needed, save)
        try:
            write_json(card_path, card | {"file": out.name, "sha256": digest(out)})
        except UserError:  # a model without its card is of no use
            out.unlink()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"cannot write {out} and {card_path.name} beside it: {reason}. Give --out a place "
            "where you may write."
        ) from None
    return out, card_path


def _refuse_places(out: Path, torchvision: bool, force: bool) -> Path:
    """The card's path, if both files may be written."""
    allowed = (".safetensors", *(_PICKLES if torchvision else ()))
    if out.suffix not in allowed:
        raise UserError(
            f"{out} must end with {' or '.join(allowed)}"
            + (" (a pickle only with --torchvision)." if out.suffix in _PICKLES else ".")
        )
    card = out.with_suffix(".json")
    for path in (out, card):
        if path.is_dir():
            raise UserError(f"{path} is a folder; give --out the name of a file that is not there.")
    there = [str(path) for path in (out, card) if path.exists()]
    if there and not force:
        raise UserError(f"{' and '.join(there)} would be overwritten; --force does so.")
    return card


# --- which run ------------------------------------------------------------------------------------


def find_run(path: Path, seed: int | None = None) -> Run:
    """The run meant by a pack's folder, or a variant's, and a seed (default: the first).

    Raises UserError if there is none, or more than one; says which there are.
    """
    packs = [path] if (path / "finetune.json").is_file() else sorted(_packs_below(path))
    if not packs:
        raise UserError(
            f"{path} is no folder of a finished pack. Give one of results/runs/, for example "
            "results/runs/SOURCE@EPOCH/TARGET/RECIPE/seeds-0-4."
        )
    seeds = {pack: _seeds(pack) for pack in packs}
    fitting = [pack for pack in packs if seed is None or seed in seeds[pack]]
    if not fitting:
        known = sorted(seed for own in seeds.values() for seed in own)
        raise UserError(f"{path} has no run with seed {seed}; it has {_listed(known)}.")
    if len(fitting) > 1:
        names = ", ".join(pack.name for pack in fitting)
        raise UserError(f"{path} has several packs ({names}). Give one of them, or --seed.")
    (pack,) = fitting
    return Run(pack, seeds[pack][0] if seed is None else seed)


def _packs_below(path: Path) -> list[Path]:
    return [record.parent for record in path.glob("seeds-*/finetune.json")]


def _seeds(pack: Path) -> list[int]:
    spec = read_record(pack / "finetune.json").get("spec", {})
    if not spec.get("seeds"):
        raise UserError(f"{pack / 'finetune.json'} names no seeds, so it is no record of a pack.")
    return sorted(spec["seeds"])


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _deployed_state(run: Run) -> tuple[int, Path]:
    """Step and file of the state deployed at the last checkpoint."""
    verify(run.record, ["deployments.parquet", "validations.parquet"])
    rows = pq.read_table(run.pack / "deployments.parquet").to_pylist()
    last = max((row for row in rows if row["seed"] == run.seed), key=lambda row: row["step"])
    name = f"states/seed-{run.seed}-step-{last['deployed_step']}.safetensors"
    _require_packed(run, name)
    verify(run.record, [name])
    return last["deployed_step"], run.pack / name


def _require_packed(run: Run, name: str) -> None:
    """Raise UserError if a file of a run was left out of a packed study."""
    state = run.pack / name
    packed = Packed.read(run.results / PACKED.name)
    place = RESULTS / state.absolute().relative_to(run.results)
    record = RESULTS / run.record.absolute().relative_to(run.results)
    if str(place) in packed.left_out and not state.exists():
        raise UserError(
            f"{state} was left out when this study was packed. Where it was made, pack it with "
            "fastpipe pack-study --weights; or delete "
            f"{run.record} and run snakemake {record} there, which trains it again."
        )


# --- tensors --------------------------------------------------------------------------------------


def _as_torchvision(name: str, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Tensors under the names of torchvision's plain model, and the code that loads them."""
    if name in OURS or is_timm(name):
        raise UserError(
            f"{name} is no network of torchvision's, so there is no plain model to load it into. "
            "Export without --torchvision; the card says how to use the file."
        )
    with WithoutDrawing():
        place = head_place(torchvision_model(name))
    body = {k.removeprefix("body."): t for k, t in tensors.items() if k.startswith("body.")}
    weight = tensors["head.weight"]
    bias = tensors.get("head.bias", weight.new_zeros(len(weight)))
    head = {f"{place}.weight": weight, f"{place}.bias": bias}
    options = ", aux_logits=False" if name in _AUXILIARY else ""
    use = (
        f"model = torchvision.models.get_model({name!r}, num_classes={len(weight)}{options}); "
        "model.load_state_dict(state, strict=True); model.eval(); logits = model((images / 255 - "
        "mean) / std), with mean and std by channel as in `preprocessing`"
    )
    return body | head, use


def _use(out: Path) -> str:
    return (
        f"a source in YAML: {{library: file, weights: {out.name}, backbone: …, mean: …, std: …}}, "
        "with backbone, mean and std as in this card; or in Python: load_tensors of "
        "fastpipe.models.checkpoint into build_network of fastpipe.models.network. Images are "
        "uint8 [M, C, H, W]; normalise.* is part of the network"
    )


def _save(path: Path, tensors: dict[str, Tensor], suffix: str, card: Mapping[str, Any]) -> None:
    if suffix in _PICKLES:
        torch.save({name: tensor.clone() for name, tensor in tensors.items()}, path)
        return
    identity = {name: str(card[name]) for name in ("source", "target", "recipe_name", "seed")}
    save_tensors(path, tensors, identity)


def _write_atomically(out: Path, card: Path, needed: int, write: Callable[[Path], None]) -> None:
    """Replace a file by one of about `needed` bytes; a card that vouches for the one before goes
    first."""
    with writing(out, needed):
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
        os.close(handle)
        temporary = out.with_name(Path(name).name)
        try:
            write(temporary)
            crash_point("export-before-flush")
            flush_to_disk(temporary)
            card.unlink(missing_ok=True)
            crash_point("export-before-rename")
            temporary.replace(out)
            crash_point("export-after-rename")
        finally:
            temporary.unlink(missing_ok=True)


# --- the card -------------------------------------------------------------------------------------


def _card(run: Run, step: int) -> dict[str, Any]:
    record = read_record(run.record)
    spec = record["spec"]
    dataset = run.results / "datasets" / spec["target"]
    splits = {split: read_record(dataset / f"prepare-{split}.json") for split in _SPLITS}
    _require_same_images(run, record, splits)
    facts, declared = splits["train"]["facts"], splits["train"]["spec"]
    chain = _sources(run, spec["source"], spec["epoch"])
    _require_same_start(run, record, chain[0])
    digests = {split: content["outputs"] for split, content in splits.items()}
    digests["test"] = {k: v for k, v in digests["test"].items() if k != "card.json"}
    return {
        "source": f"{spec['source']}@{number_name(float(spec['epoch']))}",
        "sources": chain,
        "target": spec["target"],
        "recipe_name": spec["variant"],
        "recipe": spec["recipe"],
        "seed": run.seed,
        "deployed_step": step,
        "backbone": _backbone(spec["backbone"]),
        "classes": facts["classes"],
        "training_images_per_class": facts["per_class"],
        "preprocessing": {
            "size": facts["size"],
            "middle": facts["view"],
            "channels": facts["channels"],
            "resize": declared.get("aspect", "stretch"),
            "margin": declared.get("margin", 0),
            "transforms": declared.get("transforms", []),
        },
        "metrics": _metrics(run, step),
        "licences": _licences(run, spec["target"], chain),
        "data": digests,
        "data_hash": hashlib.sha256(canonical_json(digests).encode()).hexdigest(),
        "identity": record.get("identity"),
        "precision": record.get("facts", {}).get("precision"),
        "versions": record.get("versions", {}),
    }


def _backbone(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a source has to declare: the fields besides the name are of small-cnn alone."""
    return dict(spec) if spec["name"] == "small-cnn" else {"name": spec["name"]}


def _require_same_images(run: Run, record: Mapping[str, Any], splits: Mapping[str, Any]) -> None:
    known = set(record["inputs"].values())
    for split in ("train", "val"):
        if not set(splits[split]["outputs"].values()) <= known:
            raise UserError(
                f"{run.pack} was trained on other {split} images than there are now, so what its "
                "classes are is not known. Run snakemake again to train it on them."
            )


def _require_same_start(run: Run, record: Mapping[str, Any], source: Mapping[str, Any]) -> None:
    if source["weights_sha256"] not in record["inputs"].values():
        raise UserError(
            f"{run.pack} was fine-tuned from other weights of {source['source']} than there are "
            "now. Run snakemake again to train it from them."
        )


def _sources(run: Run, source: str, epoch: float) -> list[dict[str, Any]]:
    """The snapshot that the run started from, then that which it started from, and so on."""
    folder = run.results / "sources" / source / f"epoch-{number_name(float(epoch))}"
    record = read_record(folder / "pretrain.json")
    spec = record.get("spec", {})
    told = ("dataset", "library", "weights", "start")
    own = {"source": source, "epoch": epoch} | {k: spec[k] for k in told if spec.get(k)}
    own |= {
        "identity": record.get("identity"),
        "weights_sha256": record["outputs"].get("weights.safetensors"),
    }
    if not spec.get("start"):
        return [own]
    name, _, at = spec["start"].partition("@")
    return [own, *_sources(run, name, float(at))]


def _licences(run: Run, target: str, chain: list[dict[str, Any]]) -> dict[str, str]:
    """What is known, by dataset and by released weights; nothing here is a licence granted."""
    names = dict.fromkeys([target, *(s["dataset"] for s in chain if "dataset" in s)])
    found = {}
    for name in names:
        path = run.results / "datasets" / name / "card.json"
        licence = read_json(path).get("licence") if path.is_file() else None
        found[f"dataset {name}"] = licence or "not known; ask whoever made the images"
    for source in chain:
        if "library" in source:
            weights = source.get("weights", "the library's default")
            found[f"weights of {source['source']}"] = (
                f"{source['library']}, {weights}: not known here; see where they were released, "
                "and the terms of the images they were trained on"
            )
    return found


def _metrics(run: Run, step: int) -> dict[str, float | int | None]:
    """Fractions; validation at the deployed step, the test split if the pack has been deployed."""
    rows = pq.read_table(run.pack / "validations.parquet").to_pylist()
    val = [row["top1"] for row in rows if (row["seed"], row["step"]) == (run.seed, step)]
    found: dict[str, float | int | None] = {"val_top1": val[0] if val else None}
    record = run.pack / "deploy.json"
    if not record.is_file():
        return found
    _require_same_state(run, step, record)
    verify(record, ["adp.parquet", "confusion.parquet"])
    adp = [r for r in pq.read_table(run.pack / "adp.parquet").to_pylist() if r["seed"] == run.seed]
    last = max(adp, key=lambda row: row["step"])
    confusion = pq.read_table(run.pack / "confusion.parquet").to_pylist()
    return found | {
        "test_top1": last["top1"],
        "test_top5": last["top5"],
        "test_balanced_accuracy": _balanced([r for r in confusion if r["seed"] == run.seed]),
        "test_images": last["images"],
    }


def _require_same_state(run: Run, step: int, record: Path) -> None:
    state = f"states/seed-{run.seed}-step-{step}.safetensors"
    if read_record(run.record)["outputs"][state] not in read_record(record)["inputs"].values():
        raise UserError(
            f"{record} scored another state than {run.pack / state} as it is now. Run snakemake "
            "again to score it."
        )


def _balanced(rows: list[dict[str, int]]) -> float:
    """Mean over the classes that have images of the accuracy within a class."""
    total: dict[int, int] = {}
    right: dict[int, int] = {}
    for row in rows:
        label = row["label"]
        total[label] = total.get(label, 0) + row["images"]
        right[label] = right.get(label, 0) + row["images"] * (label == row["predicted"])
    return sum(right[label] / total[label] for label in total) / len(total)
