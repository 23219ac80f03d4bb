"""`fastpipe export`: the files stand alone, and compute what the run's state computes."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
import torchvision
from sklearn.metrics import balanced_accuracy_score
from typer.testing import CliRunner

from fastpipe.cli import app
from fastpipe.config.backbone import Backbone
from fastpipe.data.arrays import Split
from fastpipe.data.streams import generator
from fastpipe.errors import UserError
from fastpipe.evaluation.inference import Evaluator
from fastpipe.export import export, find_run
from fastpipe.files import digest, read_json, write_json
from fastpipe.models.network import Network, build_network
from fastpipe.models.released import Normalisation, read_state, released_tensors

CLASSES = ["Äpfel", "</script>", "zwei Worte"]
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
LAST = {0: 7, 1: 3}
"""Seed → step of the state deployed at the last checkpoint."""
ADP = {0: 0.75, 1: 0.5}


def network(name: str, *stream, bias=False, channels=3) -> Network:
    built = build_network(
        Backbone(name=name, widths=(4, 8)), 3, channels=channels,
        mean=MEAN[:channels], std=STD[:channels], head_bias=bias,
        body_generator=generator("body", *stream), head_generator=generator("head", *stream),
    )  # fmt: skip
    norms = [m for m in built.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        built.train().features(images(channels=channels))  # statistics that fit the images
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        mean = built.eval().features(images(channels=channels)).mean(0)
        built.head.weight -= (built.head.weight @ mean)[:, None] * mean / (mean @ mean)
    if bias:
        torch.nn.init.normal_(built.head.bias, 0, 0.01, generator=generator("bias", *stream))
    return built.eval()


def record(folder: Path, name: str, outputs, **content) -> None:
    digests = {output: digest(folder / output) for output in outputs}
    write_json(
        folder / f"{name}.json",
        {"inputs": {}, "facts": {}, "identity": f"of {name}", "versions": {"torch": "2"}}
        | content | {"outputs": digests},
    )  # fmt: skip


def digests(folder: Path, names) -> dict[str, str]:
    return {f"{folder}/{name}": digest(folder / name) for name in names}


class Results:
    """A results tree with one pack of two runs, with true records."""

    def __init__(self, root: Path, name="shufflenet_v2_x0_5", bias=False, channels=3):
        self.root, self.dataset = root, root / "datasets" / "photos"
        self.snapshot = root / "sources" / "theirs" / "epoch-0"
        self.pack = root / "runs" / "theirs@0" / "photos" / "fast+steps=9" / "seeds-0-1"
        for folder in (self.dataset, self.snapshot, self.pack / "states"):
            folder.mkdir(parents=True)
        self.networks = {seed: network(name, seed, bias=bias, channels=channels) for seed in LAST}
        self._write_dataset(channels)
        (self.snapshot / "weights.safetensors").write_bytes(b"weights of the source")
        spec = {"library": "file", "weights": "theirs.pth", "dataset": None, "start": None}
        record(self.snapshot, "pretrain", ["weights.safetensors"], spec=spec)
        self._write_pack({"name": name, "widths": [4, 8]}, channels)
        self.deploy()

    def _write_dataset(self, channels):
        for split in ("train", "val", "test"):
            names = [f"{split}-{part}.npy" for part in ("images", "labels")]
            for name in names:
                (self.dataset / name).write_bytes(name.encode())
            write_json(self.dataset / "card.json", {"licence": "CC0"})
            facts = {"classes": CLASSES, "size": 32, "view": 28, "channels": channels,
                     "per_class": [9, 3, 1]}  # fmt: skip
            names += ["card.json"] * (split == "test")
            spec = {"aspect": "keep", "margin": 0, "transforms": []}
            record(self.dataset, f"prepare-{split}", names, facts=facts, spec=spec)

    def _write_pack(self, backbone, channels):
        files = ["deployments.parquet", "validations.parquet"]
        for seed, step in LAST.items():
            tensors = {k: t.contiguous() for k, t in self.networks[seed].state_dict().items()}
            files.append(f"states/seed-{seed}-step-{step}.safetensors")
            safetensors.torch.save_file(tensors, self.pack / files[-1])
        rows = [(s, t, 0 if t < 9 else last) for s, last in LAST.items() for t in (0, 5, 9)]
        seeds, steps, deployed = zip(*rows, strict=True)
        table = {"seed": seeds, "step": steps, "deployed_step": deployed}
        pq.write_table(pa.table(table), self.pack / files[0])
        table = {"seed": [0, 0, 1, 1], "step": [3, 7, 3, 7], "top1": [0.2, 0.9, 0.8, 0.1]}
        pq.write_table(pa.table(table), self.pack / files[1])
        inputs = digests(self.dataset, [f"{s}-{p}.npy" for s in ("train", "val")
                                        for p in ("images", "labels")])  # fmt: skip
        inputs |= digests(self.snapshot, ["weights.safetensors"])
        recipe = {"alpha": 0.2, "beta": 0.01, "head_bias": False}
        spec = {"source": "theirs", "epoch": 0.0, "target": "photos", "variant": "fast+steps=9",
                "seeds": [0, 1], "backbone": backbone, "channels": channels,
                "recipe": recipe}  # fmt: skip
        record(self.pack, "finetune", files, inputs=inputs, spec=spec)

    def deploy(self):
        rows = [(seed, step, ADP[seed] if step == 9 else 0.1) for seed in LAST for step in (0, 9)]
        seeds, steps, top1 = zip(*rows, strict=True)
        table = {"seed": seeds, "step": steps, "top1": top1, "top5": [None] * 4, "images": [8] * 4}
        pq.write_table(pa.table(table), self.pack / "adp.parquet")
        self.labels = [0, 0, 0, 0, 0, 1, 1, 2]
        self.guesses = {0: [0, 0, 0, 0, 1, 1, 1, 0], 1: [0, 0, 1, 1, 1, 1, 0, 2]}
        rows = [(s, *pair) for s in LAST
                for pair in zip(self.labels, self.guesses[s], strict=True)]  # fmt: skip
        counts = {row: rows.count(row) for row in rows}
        columns = dict(zip(("seed", "label", "predicted"), zip(*counts, strict=True), strict=True))
        table = pa.table(columns | {"images": list(counts.values())})
        pq.write_table(table, self.pack / "confusion.parquet")
        states = [f"states/seed-{s}-step-{t}.safetensors" for s, t in LAST.items()]
        files = ["adp.parquet", "confusion.parquet"]
        record(self.pack, "deploy", files, inputs=digests(self.pack, states))


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(tmp_path / "results")


def images(count=24, channels=3) -> torch.Tensor:
    """Coarse patterns of 4 × 4 patches: pictures that differ."""
    shape = (count, channels, 4, 4)
    patches = torch.randint(256, shape, dtype=torch.uint8, generator=generator("export images"))
    return patches.repeat_interleave(8, 2).repeat_interleave(8, 3)


def plain_logits(net: Network, pixels: torch.Tensor) -> torch.Tensor:
    """fp32, NCHW, the whole batch at once."""
    net = net.to(memory_format=torch.contiguous_format).eval()
    with torch.no_grad():
        return net.head(net.body(net.normalise(pixels).contiguous()))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "resnet18", "googlenet"])
def test_torchvisions_plain_model_computes_the_same_bit_for_bit(tmp_path, name, bias):
    if (name, bias) == ("googlenet", True):
        pytest.skip("one case of auxiliary classifiers is enough")
    results = Results(tmp_path / "results", name, bias)
    out, card_path = export(results.pack, tmp_path / "m.safetensors", seed=1, torchvision=True)
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, num_classes=3, **options)
    model.load_state_dict(safetensors.torch.load_file(out), strict=True)
    model.eval()
    pixels, run = images(), results.networks[1]
    with torch.no_grad():
        logits = model(run.normalise(pixels).contiguous())
    assert torch.equal(logits, plain_logits(run, pixels))
    card = read_json(card_path)
    assert f"get_model('{name}', num_classes=3" in card["use"]
    mean, std = (torch.tensor(card["preprocessing"][k])[:, None, None] for k in ("mean", "std"))
    with torch.no_grad():
        by_card = model((pixels / 255 - mean) / std)
    torch.testing.assert_close(by_card, logits, rtol=1e-4, atol=1e-4)
    # The run's own evaluation: folded BatchNorm, channels last.
    evaluator = Evaluator(run.to(memory_format=torch.channels_last))
    features = evaluator.features(Split(pixels, torch.zeros(len(pixels), dtype=torch.int64)))
    own = run.head(features).detach()
    torch.testing.assert_close(own, logits, rtol=1e-4, atol=1e-4 * logits.abs().max().item())
    predicted = evaluator.predict_head(features, run.head.weight, run.head.bias)
    assert torch.equal(predicted, logits.argmax(1)) and len(set(predicted.tolist())) > 1


def test_a_pickle_holds_tensors_alone(results, tmp_path):
    out, _ = export(results.pack, tmp_path / "m.pt", torchvision=True)
    state = torch.load(out, weights_only=True)
    model = torchvision.models.get_model("shufflenet_v2_x0_5", num_classes=3)
    assert model.load_state_dict(state, strict=True)
    assert torch.equal(model.fc.weight, results.networks[0].head.weight)
    assert not model.fc.bias.any()


@pytest.mark.parametrize("name", ["small-cnn", "shufflenet_v2_x0_5"])
def test_without_torchvision_the_state_is_as_the_run_wrote_it(tmp_path, name):
    results = Results(tmp_path / "results", name)
    out, card = export(results.pack, tmp_path / "new" / "m.safetensors")
    assert card == tmp_path / "new" / "m.json"
    found, own = safetensors.torch.load_file(out), results.networks[0].state_dict()
    assert found.keys() == own.keys()
    assert all(torch.equal(found[key], own[key]) for key in own)
    assert out.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert sorted(p.name for p in out.parent.iterdir()) == ["m.json", "m.safetensors"]


@pytest.mark.parametrize("name", ["small-cnn", "shufflenet_v2_x0_5"])
def test_what_was_exported_can_be_a_source(tmp_path, name):
    results = Results(tmp_path / "results", name)
    out, card_path = export(results.pack, tmp_path / "m.safetensors")
    card = read_json(card_path)
    backbone = Backbone.model_validate_json(json.dumps(card["backbone"]))
    normalisation = Normalisation(card["preprocessing"]["mean"], card["preprocessing"]["std"])
    found = released_tensors(backbone, read_state(out), out, normalisation)
    own = results.networks[0].state_dict()
    assert found.keys() == own.keys()
    assert all(torch.equal(found[key], own[key]) for key in own)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_card(results, tmp_path):
    out, path = export(results.pack, tmp_path / "m.safetensors", seed=1)
    card = read_json(path)
    assert card["file"] == "m.safetensors" and card["sha256"] == digest(out)
    assert (card["source"], card["target"], card["seed"]) == ("theirs@0", "photos", 1)
    assert card["recipe"]["alpha"] == 0.2 and card["recipe_name"] == "fast+steps=9"
    assert card["deployed_step"] == 3
    assert card["classes"] == CLASSES and card["training_images_per_class"] == [9, 3, 1]
    expected = balanced_accuracy_score(results.labels, results.guesses[1])
    assert card["metrics"] == {
        "val_top1": 0.8, "test_top1": 0.5, "test_top5": None, "test_images": 8,
        "test_balanced_accuracy": pytest.approx(expected),
    }  # fmt: skip
    assert card["preprocessing"] == {
        "size": 32, "middle": 28, "channels": 3, "resize": "keep", "margin": 0, "transforms": [],
        "mean": pytest.approx(MEAN), "std": pytest.approx(STD), "inside_the_model": True,
    }  # fmt: skip
    assert card["licences"]["dataset photos"] == "CC0"
    assert card["licences"]["weights of theirs"].startswith("file, theirs.pth: not known here")
    assert card["data"]["test"].keys() == {"test-images.npy", "test-labels.npy"}
    assert card["data"]["train"]["train-images.npy"] == digest(results.dataset / "train-images.npy")
    assert card["identity"] == "of finetune" and card["versions"] == {"torch": "2"}
    assert len(card["data_hash"]) == 64
    (source,) = card["sources"]
    assert source["weights_sha256"] == digest(results.snapshot / "weights.safetensors")


def test_a_pack_that_is_not_deployed_has_no_test_scores(results, tmp_path):
    (results.pack / "deploy.json").unlink()
    _, card = export(results.pack, tmp_path / "m.safetensors")
    assert read_json(card)["metrics"] == {"val_top1": 0.9}


def test_the_variants_folder_will_do_if_its_pack_is_the_only_one(results):
    assert find_run(results.pack.parent) == (results.pack, 0)
    assert find_run(results.pack.parent, 1) == (results.pack, 1)
    other = results.pack.with_name("seeds-2-3")
    other.mkdir()
    write_json(other / "finetune.json", {"inputs": {}, "outputs": {}, "spec": {"seeds": [2, 3]}})
    assert find_run(results.pack.parent, 3) == (other, 3)
    with pytest.raises(UserError, match=r"several packs \(seeds-0-1, seeds-2-3\)"):
        find_run(results.pack.parent)
    with pytest.raises(UserError, match=r"no run with seed 7; it has 0, 1, 2, 3"):
        find_run(results.pack.parent, 7)
    with pytest.raises(UserError, match="is no folder of a finished pack"):
        find_run(results.root)


def test_damage_is_refused_and_leaves_nothing(results, tmp_path):
    path = results.pack / "states" / "seed-0-step-7.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=r"seed-0-step-7\.safetensors is damaged"):
        export(results.pack, tmp_path / "m.safetensors")
    path.unlink()
    with pytest.raises(UserError, match=r"seed-0-step-7\.safetensors is missing.*run snakemake"):
        export(results.pack, tmp_path / "m.safetensors")
    assert not list(tmp_path.glob("*m.*"))


def test_a_state_that_was_left_out_of_a_pack_is_told_as_such(results, tmp_path):
    state = results.pack / "states" / "seed-0-step-7.safetensors"
    left_out = {f"results/{state.relative_to(results.root)}": digest(state)}
    manifest = {"left_out": left_out, "listings": {}, "contents": {}}
    write_json(results.root / "packed.json", manifest)
    export(results.pack, tmp_path / "there.safetensors")
    state.unlink()
    told = r"7\.safetensors was left out .* pack-study --weights; or .* run snakemake .*tune\.json"
    with pytest.raises(UserError, match=told):
        export(results.pack, tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("dataset", "was trained on other train images than there are now"),
        ("snapshot", "was fine-tuned from other weights of theirs"),
        ("state", "scored another state than"),
    ],
)
def test_what_no_longer_belongs_together_is_refused(results, tmp_path, changed, message):
    folder, name = {
        "dataset": (results.dataset, "prepare-train"), "snapshot": (results.snapshot, "pretrain"),
        "state": (results.pack, "deploy"),
    }[changed]  # fmt: skip
    content = read_json(folder / f"{name}.json")
    part = "inputs" if changed == "state" else "outputs"
    content[part] = dict.fromkeys(content[part], "0" * 64)
    write_json(folder / f"{name}.json", content)
    with pytest.raises(UserError, match=message):
        export(results.pack, tmp_path / "m.safetensors")
    assert not list(tmp_path.glob("*m.*"))


def test_networks_of_ours_have_no_plain_model(tmp_path):
    results = Results(tmp_path / "results", "small-cnn", channels=1)
    with pytest.raises(UserError, match=r"small-cnn is no network of torchvision's.*without"):
        export(results.pack, tmp_path / "m.safetensors", torchvision=True)


def test_where_nothing_can_be_written_is_told(results, tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "card.json").mkdir()
    for name in ("folder.safetensors", "card.json"):
        with pytest.raises(UserError, match=f"{name} is a folder; give --out the name of a file"):
            export(results.pack, (tmp_path / name).with_suffix(".safetensors"), force=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=r"cannot write .*/file/m\.safetensors and m\.json beside it"
    ):
        export(results.pack, tmp_path / "file" / "m.safetensors")


def test_files_are_replaced_only_if_asked(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["export", str(results.pack), "--out", "m.safetensors"]
    first = CliRunner().invoke(app, arguments)
    assert first.output.split() == ["m.safetensors", "m.json"], first.output
    again = CliRunner().invoke(app, arguments)
    assert isinstance(again.exception, UserError)
    assert str(again.exception) == (
        "m.safetensors and m.json would be overwritten; --force does so."
    )
    assert CliRunner().invoke(app, [*arguments, "--force", "--seed", "1"]).exit_code == 0
    assert json.loads(Path("m.json").read_text())["seed"] == 1
    with pytest.raises(UserError, match=r"must end with \.safetensors \(a pickle only with"):
        export(results.pack, Path("m.pt"))
    np.testing.assert_equal(list(tmp_path.glob(".m*")), [])
