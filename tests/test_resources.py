"""What jobs ask for follows from their spec and grows with the attempt."""

import json
from pathlib import Path

import pytest
import torch
import torchvision

from fastpipe.config.backbone_names import BACKBONES, OURS
from fastpipe.config.backbone_sizes import SIZES
from fastpipe.config.load import load
from fastpipe.config.names import Pack, Snapshot
from fastpipe.config.plan import Plan
from fastpipe.models.backbones import small_cnn
from fastpipe.resources import Resources, activations, parameters

SOURCE = {"dataset": "own", "epochs": 2, "snapshots": [2], "batch_size": 100}
CONFIG = {
    "settings": {"compute": {"device": "cpu"}},
    "datasets": {
        "own": {"providers": [{"kind": "sklearn", "name": "digits"}], "size": 8, "channels": 1},
        "large": {
            "providers": [{"kind": "torchvision", "name": "CIFAR10"}],
            **{"size": 224, "channels": 3},
        },
    },
    "sources": {
        "small": SOURCE,
        "wide": SOURCE | {"backbone": {"name": "small-cnn", "widths": [512, 1024]}},
        "deep": SOURCE | {"dataset": "large", "backbone": {"name": "resnet50"}},
    },
    "recipes": {
        name: {"alpha": 0.1, "beta": 0.01, "steps": 20, "batch_size": size}
        for name, size in (("few", 10), ("many", 200))
    },
    "studies": {
        "demo": {
            "title": "S",
            "seeds": 1,
            "arms": {"a": {"recipe": "few", "snapshots": ["small@2"], "targets": ["own"]}},
        }
    },
}


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(json.dumps(CONFIG))
    return Plan(load([Path("c.yaml")]))


@pytest.fixture
def needs(plan: Plan) -> Resources:
    return Resources(plan, lambda stage, wildcards: getattr(plan, stage)(wildcards))


def pack(source: str, target: str, recipe: str, seeds: int = 5) -> Pack:
    return Pack(Snapshot(source, 2.0), target, recipe, 0, seeds - 1)


def test_parameters_and_activations_of_small_networks_are_counted() -> None:
    """As torch counts them; a normalisation and a ReLU pass on as much as their convolution."""
    for widths in ((4, 8), (16, 32, 32, 64)):
        body = small_cnn(3, widths)
        computed: list[int] = []
        for layer in body.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.register_forward_hook(lambda _, __, y, to=computed: to.append(y.numel()))
        body(torch.zeros(1, 3, 30, 30))
        backbone = {"name": "small-cnn", "widths": widths}
        assert parameters(backbone, 3) == sum(p.numel() for p in body.parameters())
        assert activations(backbone, 30) == 3 * sum(computed)


def test_every_network_of_torchvision_has_its_number_of_parameters() -> None:
    assert set(SIZES) - {"lenet5"} == set(BACKBONES) - set(OURS)
    for name in set(SIZES) - {"lenet5", "googlenet"}:  # whose weights lack its auxiliary heads
        for weights in torchvision.models.get_model_weights(name):
            if len(weights.meta["categories"] or ()) == 1000:
                assert SIZES[name][0] == pytest.approx(weights.meta["num_params"] / 1e6, rel=0.03)


def test_memory_follows_from_what_determines_it(plan: Plan, needs: Resources) -> None:
    memory = needs.memory
    few, many = (memory(plan.finetune(pack("deep", "large", r))) for r in ("few", "many"))
    kept = 2 * 4 * activations({"name": "resnet50"}, 224) / 2**20  # of an image, and gradients
    assert many - few == pytest.approx(190 * kept * 4 / 3, rel=0.02)
    small, wide = (memory(plan.finetune(pack(s, "own", "few"))) for s in ("small", "wide"))
    assert wide > small
    assert memory(plan.prepare("large")) > memory(plan.prepare("own"))
    assert memory(plan.pretrain(Snapshot("deep", 2.0))) > memory(
        plan.pretrain(Snapshot("small", 2.0))
    )


def test_memory_and_time_grow_with_the_attempt(plan: Plan, needs: Resources) -> None:
    job = pack("small", "own", "few")
    for ask in (needs.mem_mb("finetune"), needs.runtime("finetune")):
        assert ask(job, 1) > 0
        assert [ask(job, attempt) for attempt in (2, 3)] == [2 * ask(job, 1), 3 * ask(job, 1)]


def test_time_is_that_of_earlier_jobs_and_more_for_larger_packs(
    plan: Plan, needs: Resources
) -> None:
    minutes = [needs.minutes(plan.finetune(pack("small", "own", "many", n))) for n in (1, 1000)]
    assert minutes[0] < minutes[1]
    # a large network that was never timed is judged by its multiplications
    assert needs.minutes(plan.finetune(pack("deep", "large", "many"))) > 10 * minutes[0]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_s_libraries_need_memory_too(
    plan: Plan, needs: Resources, device: str, tmp_path: Path
) -> None:
    with_gpu = CONFIG | {"settings": {"compute": {"device": device}}}
    Path("d.yaml").write_text(json.dumps(with_gpu))
    other = Plan(load([Path("d.yaml")]))
    own = Resources(other, lambda stage, wildcards: getattr(other, stage)(wildcards))
    job = pack("small", "own", "few")
    assert own.memory(other.finetune(job)) > needs.memory(plan.finetune(job)) + 1000
