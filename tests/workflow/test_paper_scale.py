"""Studies at the paper's scale: they plan, and every network takes two real steps.

Nothing is downloaded: images are a few in the official format on disk, weights are random numbers
in a file of the library's form. Sizes of images and networks are the paper's.
"""

import functools
import hashlib
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from PIL import Image

from fastpipe import cli
from fastpipe.config.expansion import Runs
from fastpipe.config.load import load, yaml_files
from fastpipe.config.plan import Job, Plan
from fastpipe.models.blank import WithoutDrawing

pytestmark = pytest.mark.workflow

CONFIG = Path(__file__).parents[2] / "config"
SAMPLE = Path(__file__).with_name("paper_sample.yaml")
CLASSES, TRAIN, TEST = 4, 3, 2


@functools.cache
def paper() -> Plan:
    """The shipped configuration and the sample study."""
    return Plan(load([yaml_files(CONFIG), SAMPLE]))


TARGETS = [name for name in paper().targets if name.endswith("-paper")]
INCLUDED = {part for name in TARGETS for part in paper().with_included(name)[1:]}


def provider(target: str) -> str | None:
    return getattr(paper().config.datasets[target].providers[0], "name", None)


def tries() -> Iterator[tuple[str, str, Runs]]:
    """The first runs with each torchvision backbone, and with each kind of images on disk."""
    seen = set()
    known = set(torchvision.models.list_models())
    for runs in (runs for name in TARGETS for runs in paper().runs(name)):
        backbone = paper().config.sources[runs.snapshot.source].backbone.name
        pair = {backbone, provider(runs.target)}
        if backbone in known and pair & ON_DISK.keys() and not pair <= seen:
            seen |= pair
            yield backbone, runs.target, runs


# --- plans


@pytest.mark.parametrize("target", [name for name in TARGETS if name not in INCLUDED])
def test_the_plan_has_every_pack(elsewhere, target):
    packs = {pack for name in paper().with_included(target) for pack in paper().packs(name)}
    planned = elsewhere.plan(target, "--configfile", str(SAMPLE))
    for stage in ("finetune", "deploy"):
        assert sum(job.startswith(f"{stage} ") for job in planned) == len(packs)


def test_the_sample_has_five_packs_and_forgets_only_where_there_are_images(elsewhere):
    planned = elsewhere.plan("sample-paper", "--configfile", str(SAMPLE))
    count = {stage: sum(job.split()[0] == stage for job in planned) for stage in ("finetune",)}
    assert count == {"finetune": 5}
    assert {job.split("/")[1] for job in planned if job.startswith("forgetting ")} == {
        "cifar100-resnet18@120"
    }
    assert {job for job in planned if job.startswith("similarity ")} == {
        "similarity similarity/cifar100-resnet18@120/caltech-256"
    }
    assert {job for job in planned if job.startswith("pretrain ")} == {
        *(f"pretrain sources/imagenet-{name}/epoch-0" for name in ("vgg19", "resnext101")),
        *(f"pretrain sources/imagenet-{name}/epoch-0" for name in ("densenet201", "resnet18")),
        *(f"pretrain sources/cifar100-resnet18/epoch-{epoch}" for epoch in (0, 120)),
    }


# --- images, as they lie on disk after their download

Options = dict[str, Any]


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def cifar_100(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Pickled batches; their MD5 sums stand in for the official ones."""
    data, names = torchvision.datasets.CIFAR100, [f"class {number}" for number in range(100)]
    folder = root / data.base_folder
    folder.mkdir(parents=True)

    def write(name: str, content: Any) -> str:
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    for name, each in (("train", TRAIN), ("test", TEST)):
        labels = list(range(CLASSES)) * each
        batch = {"data": pixels(len(labels), 3072), "fine_labels": labels}
        monkeypatch.setattr(data, f"{name}_list", [[name, write(name, batch)]])
    md5 = write("meta", {"fine_label_names": names})
    monkeypatch.setattr(data, "meta", data.meta | {"md5": md5})
    return {"classes": names[:CLASSES]}


def mnist(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """idx files, with their own hashes."""
    hashes = {}
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, each in (("train", TRAIN), ("t10k", TEST)):
        labels = np.tile(np.arange(CLASSES, dtype=np.uint8), each)
        for kind, array in (("images-idx3", pixels(len(labels), 28, 28)), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim])
            head += b"".join(n.to_bytes(4, "big") for n in array.shape)
            content = head + array.tobytes()
            (folder / f"{name}-{kind}-ubyte").write_bytes(content)
            hashes[f"{name}-{kind}-ubyte"] = hashlib.sha256(content).hexdigest()
    return {"classes": [str(label) for label in range(CLASSES)], "sha256": hashes}


def caltech_256(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Folders of JPEGs of any shape, the last of which is clutter; a few of them in grey."""
    names = ["001.ak47", "002.american-flag", "003.backpack", "004.baseball-bat", "257.clutter"]
    for label, name in enumerate(names, start=1):
        for number in range(1, TRAIN + TEST + 1):
            path = root / "caltech256/256_ObjectCategories" / name / f"{label:03}_{number:04}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            shape = (90, 120 + number) if number == 1 else (120, 90 + number, 3)
            Image.fromarray(pixels(*shape)).save(path)
    return {"classes": names, "validation_per_class": 1}


ON_DISK: dict[str, Callable[[Path, pytest.MonkeyPatch], Options]] = {
    "CIFAR100": cifar_100,
    "MNIST": mnist,
    "Caltech256": caltech_256,
}


def random_weights(backbone: str, path: Path) -> None:
    """A state dict as the library's own model would save it, with numbers of an ordinary size."""
    generator = torch.Generator().manual_seed(0)
    with WithoutDrawing():
        model = torchvision.models.get_model(backbone)
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith("bias"):  # drawn in some layers, and so without a value yet
            tensor.zero_()
        if tensor.ndim > 1:  # from a small table: a hundred million draws would take seconds
            table = torch.randn(4099, generator=generator) * (2 / tensor[0].numel()) ** 0.5
            flat = tensor.view(-1)
            whole = len(flat) // len(table) * len(table)
            flat[:whole].view(-1, len(table))[:] = table
            flat[whole:] = table[: len(flat) - whole]
    torch.save(state, path)


# --- two steps


def configured(backbone: str, target: str, runs: Runs, options: Options) -> Plan:
    """One arm of two steps from a local file of weights, merged over the shipped configuration."""
    images = {"kind": "torchvision", "name": provider(target), "root": "images"}
    dataset = {"providers": [images]}
    recipe = {"steps": 2, "batch_size": CLASSES}
    start = {"recipe": "tried", "snapshots": ["tried@0"], "targets": [target], "seeds": 1}
    over = {
        "settings": {"pack_seeds": 1, "compute": {"device": "cpu", "threads": 1}},
        "datasets": {target: dataset | options},
        "sources": {
            "tried": {
                **{"library": "torchvision", "weights": "weights.pth"},
                "backbone": {"name": backbone},
            }
        },
        "recipes": {"tried": runs.recipe.model_dump(mode="json") | recipe},
        "studies": {"tried": {"title": "Two steps", "arms": {"tried": start}}},
    }
    Path("over.yaml").write_text(json.dumps(over))
    return Plan(load([yaml_files(CONFIG), SAMPLE, Path("over.yaml")]))


def images_of_a_class(target: str) -> int:
    """In its test split. Caltech-256 has none of its own: a share of its images is taken."""
    if provider(target) != "Caltech256":
        return TEST
    return round(paper().config.datasets[target].test * (TRAIN + TEST))


def run(job: Job, plan: Plan) -> None:
    """What the job's rule does, in this process: torch is loaded once for all."""
    records = {record.stem: str(record) for record in job.reads}
    given = {"spec": job.spec, "identity": json.dumps(dict(job.identities))}
    given["out"] = next(iter(job.records))
    if job.stage in ("finetune", "deploy"):
        split = "train" if job.stage == "finetune" else "test"
        given["dataset"] = Path(records[f"prepare-{split}"])
        given["snapshot"] = Path(records["pretrain"])
    if job.stage == "deploy":
        given["pack"] = Path(records["finetune"])
    if job.stage in ("prepare", "pretrain"):
        given["downloads"] = Path("downloads")
    getattr(cli, job.stage)(**given)


@pytest.mark.parametrize(
    ("backbone", "target", "runs"), [pytest.param(*t, id=f"{t[0]}-{t[1]}") for t in tries()]
)
def test_two_steps_of_the_real_network(backbone, target, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # gigabytes that nobody will miss
    name = provider(target)
    options = ON_DISK[name](Path("images"), monkeypatch)
    random_weights(backbone, Path("weights.pth"))
    plan = configured(backbone, target, runs, options)
    stages = ["prepare", "pretrain", "finetune", "deploy"]
    jobs = [job for job in plan.parts("tried") if job.stage in stages]
    assert [job.stage for job in jobs] == stages
    for job in jobs:
        run(job, plan)
    pack = jobs[-1].folder
    steps = pq.read_table(pack / "steps.parquet").to_pydict()
    assert steps["step"] == [0, 1, 2] or steps["step"] == [1, 2]
    assert np.isfinite([loss for loss in steps["loss"] if loss is not None]).all()
    adp = pq.read_table(pack / "adp.parquet").to_pydict()
    assert set(adp["images"]) == {CLASSES * images_of_a_class(target)}
    with_size = np.load(jobs[0].folder / "train-images.npy", mmap_mode="r")
    assert with_size.shape[1:] == (*[paper().config.datasets[target].size] * 2, 3)
    for file in (*pack.glob("states/*"), Path("weights.pth")):  # gigabytes, if all are kept
        file.unlink()
