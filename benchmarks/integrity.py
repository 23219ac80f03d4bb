"""What does it cost that results are vouched for? Share of flushing, renaming, hashing and records.

One pack of the demo and the snapshot behind it are computed again, from the results in `results`
(RESULTS names another folder) into a folder that is thrown away, with a clock around everything
that is done for integrity alone.
"""

import contextlib
import functools
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.table import Row
from fastpipe import files, integrity
from fastpipe.stages import job as job_module

__all__ = ["Stopwatch", "run", "timing_integrity"]

_FUNCTIONS = {
    files: ("digest", "flush_all", "flush_to_disk", "write_bytes", "write_json"),
    integrity: ("verify", "remember", "read_record"),
}


class Stopwatch:
    """Seconds spent in functions, calls of one by another counted once."""

    def __init__(self):
        self.seconds = 0.0
        self._depth = 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        @functools.wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            started, self._depth = time.perf_counter(), self._depth + 1
            try:
                return function(*args, **options)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - started

        return timed


@contextlib.contextmanager
def timing_integrity() -> Iterator[Stopwatch]:
    """Time every function of integrity, wherever fastpipe has imported it."""
    watch = Stopwatch()
    with contextlib.ExitStack() as stack:
        for module, names in _FUNCTIONS.items():
            for name in names:
                original = getattr(module, name)
                timed = watch.around(original)
                for user in [m for n, m in sys.modules.items() if n.startswith("fastpipe.")]:
                    if getattr(user, name, None) is original:
                        setattr(user, name, timed)
                        stack.callback(setattr, user, name, original)
        publish = job_module.Job.publish
        job_module.Job.publish = watch.around(publish)
        stack.callback(setattr, job_module.Job, "publish", publish)
        yield watch


def run() -> Iterable[Row]:
    """For each stage, and for all together."""
    results = Path(os.environ.get("RESULTS", "results")).resolve()
    spent: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(dir=results.parent) as folder:
        for stage, work in _stages(results, Path(folder)):
            nowhere = io.StringIO()
            with timing_integrity() as watch:
                started = time.perf_counter()
                with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                    work()
                spent[stage] = watch.seconds, time.perf_counter() - started
    for stage, (own, whole) in spent.items():
        yield _row(f"integrity of {stage} / the whole stage", own, whole)
    own, whole = (sum(part) for part in zip(*spent.values(), strict=True))
    yield _row("integrity / all of these stages", own, whole, "≤ 0.01")


def _row(name: str, own: float, whole: float, aim: str = "") -> Row:
    return Row(name, own, whole, own / whole, "s", aim, "flush, rename, hash, records; demo")


def _stages(results: Path, folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    from fastpipe.stages.deploy import DeploySpec, deploy
    from fastpipe.stages.features import FeaturesSpec, features
    from fastpipe.stages.finetune import FinetuneSpec, finetune
    from fastpipe.stages.forgetting import ForgettingSpec, forgetting
    from fastpipe.stages.pretrain import PretrainSpec, pretrain

    pack = _pack(results)
    specs = {s: _spec(pack, s) for s in ("finetune", "deploy", "forgetting")}
    source, target = specs["finetune"]["source"], specs["finetune"]["target"]
    epoch = min(
        (p for p in (results / "sources" / source).glob("epoch-*") if p.name != "epoch-0"),
        key=lambda path: float(path.name.removeprefix("epoch-")),
    )
    trained = _spec(epoch, "pretrain")
    snapshot = next((results / "sources" / source).glob(f"epoch-{specs['finetune']['epoch']:g}"))
    datasets, common = results / "datasets", {"work": folder / ".work", "identity": "benchmark"}
    yield (
        "pretrain",
        lambda: pretrain(
            _parsed(PretrainSpec, trained),
            dataset=datasets / trained["dataset"],
            start=None,
            out=folder / "source",
            **common,
        ),
    )
    measured = next((results / "features").glob(f"*/{target}"))
    yield (
        "features",
        lambda: features(
            _parsed(FeaturesSpec, _spec(measured, "features")),
            snapshot=next((results / "sources" / source).glob("epoch-" + _epoch(measured))),
            dataset=datasets / target,
            out=folder / "features",
            **common,
        ),
    )
    yield (
        "finetune",
        lambda: finetune(
            _parsed(FinetuneSpec, specs["finetune"]),
            snapshot=snapshot,
            dataset=datasets / target,
            out=folder / "pack",
            **common,
        ),
    )
    both = {"pack": folder / "pack", "snapshot": snapshot, **common}
    yield (
        "deploy",
        lambda: deploy(_parsed(DeploySpec, specs["deploy"]), dataset=datasets / target, **both),
    )
    own = specs["forgetting"]["source_dataset"]
    yield (
        "forgetting",
        lambda: forgetting(
            _parsed(ForgettingSpec, specs["forgetting"]), dataset=datasets / own, **both
        ),
    )


def _pack(results: Path) -> Path:
    """A pack with all of its stages done; the first by name."""
    for record in sorted(results.glob("runs/*/*/baseline/*/forgetting.json")):
        return record.parent
    raise SystemExit(f"there is no pack of the demo in {results}. Run make demo first.")


def _spec(folder: Path, stage: str) -> dict[str, Any]:
    return json.loads((folder / f"{stage}.json").read_bytes())["spec"]


def _parsed(model: Any, spec: dict[str, Any]) -> Any:
    return model.model_validate_json(json.dumps(spec))


def _epoch(features: Path) -> str:
    return features.parent.name.partition("@")[2]
