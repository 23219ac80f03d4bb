"""Hand-made folders as `prepare`, `pretrain` and `finetune` would leave them, for stage tests."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from fastpipe.config.backbone import Backbone
from fastpipe.data.streams import generator
from fastpipe.files import digest, write_json
from fastpipe.models.network import Network, build_network

BACKBONE = {"name": "small-cnn", "widths": [4, 8]}
COMPUTE = {"device": "cpu", "precision": "fp32", "threads": 1}


@dataclass
class Handmade:
    """Writers of small, valid folders below `root`."""

    root: Path

    @property
    def work(self) -> Path:
        return self.root / ".work"

    def record(self, folder: Path, name: str, outputs, facts=None, inputs=None) -> Path:
        """A record that vouches for the files as they are now."""
        path = folder / f"{name}.json"
        digests = {output: digest(folder / output) for output in outputs}
        content = {"outputs": digests, "facts": facts or {}, "inputs": inputs or {}, "spec": {}}
        write_json(path, content)
        return path

    def dataset(self, name: str, classes: int, split="test", count=40, channels=1, size=8) -> Path:
        """A folder with one split whose images differ from class to class."""
        folder = self.root / "datasets" / name
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(abs(hash((classes, count))) % 2**32)
        labels = random.integers(0, classes, count)
        images = random.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
        images[np.arange(count), labels % size] = 255
        files = {f"{split}-images.npy": images, f"{split}-labels.npy": labels}
        for file, array in files.items():
            np.save(folder / file, array)
        facts = {"classes": [f"{name} {label}" for label in range(classes)]}
        self.record(folder, f"prepare-{split}", files, facts)
        return folder

    def network(self, *name, classes: int, channels=1, bias=False) -> Network:
        """A network of the hand-made backbone, random by name."""
        network = build_network(
            Backbone.model_validate_json(json.dumps(BACKBONE)),
            classes,
            channels=channels,
            mean=[0.4] * channels,
            std=[0.3] * channels,
            body_generator=generator("body", *name),
            head_generator=generator("head", *name),
            head_bias=bias,
        )
        torch.nn.init.uniform_(network.body[1].running_var, 0.5, 2, generator("stats", *name))
        return network.eval()

    def snapshot(self, network: Network, epoch="3") -> Path:
        """A snapshot folder that holds the network."""
        folder = self.root / "sources" / "cnn" / f"epoch-{epoch}"
        folder.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(_tensors(network), folder / "weights.safetensors")
        self.record(folder, "pretrain", ["weights.safetensors"])
        return folder

    def pack(self, snapshot: Path, states, deployed, bias=False) -> Path:
        """A pack of runs.

        Args:
            snapshot: the runs' start.
            states: (seed, step) → network.
            deployed: (seed, checkpoint, deployed step) of each deployment.
        """
        folder = self.root / "runs" / "seeds-0-1"
        (folder / "states").mkdir(parents=True, exist_ok=True)
        files = ["deployments.parquet"]
        for (seed, step), network in states.items():
            files.append(f"states/seed-{seed}-step-{step}.safetensors")
            safetensors.torch.save_file(_tensors(network), folder / files[-1])
        seeds, steps, deployed_steps = zip(*deployed, strict=True)
        table = pa.table({"seed": seeds, "step": steps, "deployed_step": deployed_steps})
        pq.write_table(table, folder / "deployments.parquet")
        weights = "weights.safetensors"
        inputs = {f"{snapshot}/{weights}": digest(snapshot / weights)}
        self.record(folder, "finetune", files, inputs=inputs)
        return folder


def _tensors(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}


@pytest.fixture
def handmade(tmp_path) -> Handmade:
    return Handmade(tmp_path)


@pytest.fixture
def backbone() -> dict:
    """The hand-made networks' backbone, as a spec has it."""
    return BACKBONE


@pytest.fixture
def compute() -> dict:
    """One CPU thread, fp32."""
    return COMPUTE
