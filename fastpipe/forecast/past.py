"""How long jobs took: the timing files of a results folder, with what each job had to do."""

import itertools
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fastpipe.config.names import RESULTS, Pack, Snapshot, pack_folder
from fastpipe.files import canonical_json
from fastpipe.forecast.sizes import Sizes, recorded_sizes
from fastpipe.forecast.work import Facts, Work, work_of

__all__ = ["Timed", "network_key", "read_past"]

_FOLDERS = {
    "prepare": "datasets/*",
    "pretrain": "sources/*/*",
    "features": "features/*/*",
    "similarity": "similarity/*/*",
    "scores": "similarity/*/*",
    "finetune": "runs/*/*/*/*",
    "deploy": "runs/*/*/*/*",
    "forgetting": "runs/*/*/*/*",
    "collect": "studies/*",
    "report": "studies/*",
}

_MOST = 300
"""Timings of a stage that are read, spread evenly over all there are: more tell nothing new."""


class Timed(NamedTuple):
    """A job that was timed."""

    stage: str
    folder: Path
    network: str
    """What it was computed with: see :func:`network_key`."""
    device: str
    """`cpu` or `cuda`."""
    host: str
    work: Work
    seconds: float


def network_key(spec: Mapping[str, Any]) -> str:
    """Backbone and precision of a spec, as text; empty if it has none."""
    if "backbone" not in spec:
        return ""
    return canonical_json([spec["backbone"], spec.get("compute", {}).get("precision")])


def read_past(results: Path, most: int = _MOST) -> list[Timed]:
    """All jobs that were timed in a results folder, whole or resumed ones left out.

    Args:
        results: the folder.
        most: of each stage.
    """
    facts = _facts(results)
    return [timed for stage in _FOLDERS for timed in _of_stage(results, stage, facts, most)]


def _of_stage(results: Path, stage: str, facts: Facts, most: int) -> Iterator[Timed]:
    files = sorted(results.glob(f"{_FOLDERS[stage]}/{stage}.timing.json"))
    step = max(1, -(-len(files) // most))
    for file in files[::step]:
        name = "prepare-test" if stage == "prepare" else stage
        try:
            timing = json.loads(file.read_bytes())
            record = json.loads((file.parent / f"{name}.json").read_bytes())
            work = work_of(stage, record["spec"], facts)
            seconds, host = float(timing["seconds"]), str(timing["host"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # of another version, or torn: it is only an estimate
        # What a resumed job took says nothing of what a whole one takes.
        if work is not None and seconds > 0 and timing.get("starts", 1) == 1:
            device = record.get("facts", {}).get("device", "cpu")
            network = network_key(record["spec"])
            yield Timed(stage, file.parent, network, device, host, work, seconds)


def _facts(results: Path) -> Facts:
    """From the records themselves."""

    @cache
    def sizes(dataset: str) -> Sizes:
        return recorded_sizes(results / "datasets" / dataset) or Sizes(None, None, None)

    @cache
    def side(dataset: str) -> int:
        record = results / "datasets" / dataset / "prepare-train.json"
        spec = json.loads(record.read_bytes())["spec"]
        return int(spec.get("view") or spec["size"])

    @cache
    def epochs(source: str) -> list[float]:
        folders = (results / "sources" / source).glob("epoch-*")
        return sorted(float(folder.name.removeprefix("epoch-")) for folder in folders)

    @cache
    def recipe_of(pack: Path) -> Mapping[str, Any]:
        return json.loads((results / pack / "finetune.json").read_bytes())["spec"]["recipe"]

    def recipe(spec: Mapping[str, Any]) -> Mapping[str, Any]:
        snapshot, seeds = Snapshot(spec["source"], spec["epoch"]), spec["seeds"]
        pack = Pack(snapshot, spec["target"], spec["variant"], seeds[0], seeds[-1])
        return recipe_of(pack_folder(pack).relative_to(RESULTS))

    def before(spec: Mapping[str, Any]) -> float:
        earlier = itertools.takewhile(lambda e: e < spec["epoch"], epochs(spec["source"]))
        return max(earlier, default=0.0)

    return Facts(sizes, side, recipe, before)
