import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from fastpipe.config.backbone import Backbone
from fastpipe.data.arrays import load_split
from fastpipe.data.streams import generator
from fastpipe.errors import UserError
from fastpipe.evaluation.inference import Evaluator
from fastpipe.files import digest, read_json, write_json
from fastpipe.models.checkpoint import save_tensors
from fastpipe.models.network import build_network
from fastpipe.stages.finetune import FinetuneSpec, finetune
from fastpipe.training import resumption
from fastpipe.training.protocol import deployment_steps, validation_steps

TABLES = [
    f"{name}.parquet"
    for name in ("deployments", "dynamics", "layers", "runs", "steps", "validations")
]
IDENTITY = ["source", "epoch", "target", "recipe", "seed"]


def network(seed=0):
    return build_network(
        Backbone(widths=(4, 8)),
        7,  # another number of classes than the target's
        channels=1,
        mean=[0.25],
        std=[0.4],
        body_generator=generator("body", seed),
        head_generator=generator("head", seed),
    )


@pytest.fixture
def digits(tmp_path) -> Path:
    """Scikit-learn's digits, as `prepare` leaves them: 400, 97 and 100 images."""
    folder = tmp_path / "datasets" / "digits"
    folder.mkdir(parents=True)
    bunch = load_digits()
    images, labels = (bunch.images * 15).astype(np.uint8)[..., None], bunch.target.astype(np.int64)
    parts = {"train": slice(0, 400), "val": slice(400, 497), "test": slice(500, 600)}
    for split, part in parts.items():
        np.save(folder / f"{split}-images.npy", images[part])
        np.save(folder / f"{split}-labels.npy", labels[part])
        names = [f"{split}-images.npy", f"{split}-labels.npy"]
        facts = {"classes": [str(i) for i in range(10)], "size": 8, "channels": 1}
        facts |= {"mean": [0.3], "std": [0.37]}
        record = {"spec": {}, "inputs": {}, "facts": facts}
        record["outputs"] = {name: digest(folder / name) for name in names}
        write_json(folder / f"prepare-{split}.json", record)
    return folder


@pytest.fixture
def snapshot(tmp_path) -> Path:
    folder = tmp_path / "sources" / "cnn" / "epoch-3"
    path = folder / "weights.safetensors"
    save_tensors(path, network().state_dict())
    record = {"spec": {}, "inputs": {}, "facts": {}, "outputs": {path.name: digest(path)}}
    write_json(folder / "pretrain.json", record)
    return folder


def spec(seeds=(0, 1), steps=15, compute=None, **recipe) -> FinetuneSpec:
    recipe = {"steps": steps, "batch_size": 50, "alpha": 0.1, "beta": 0.05} | recipe
    values = {
        "source": "cnn",
        "epoch": 3.0,
        "target": "digits",
        "variant": "ours",
        "recipe": recipe,
        "seeds": list(seeds),
        "channels": 1,
        "backbone": {"name": "small-cnn", "widths": [4, 8]},
        "compute": {"device": "cpu", "precision": "fp32", "threads": 1} | (compute or {}),
    }
    return FinetuneSpec.model_validate_json(json.dumps(values))


@pytest.fixture
def pack(tmp_path, snapshot, digits):
    """Factory: the folder of a pack, after the stage has run."""

    def make(name="pack", **changes) -> Path:
        out = tmp_path / name
        finetune(
            spec(**changes),
            snapshot=snapshot,
            dataset=digits,
            out=out,
            work=tmp_path / ".work",
            identity="identity",
        )
        return out

    return make


def contents(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}
    del found["finetune.timing.json"]
    return found


def rows(folder: Path, table: str) -> list[dict]:
    return pq.read_table(folder / f"{table}.parquet").to_pylist()


# --- what it writes ------------------------------------------------------------------------


def test_tables_and_states_are_complete(pack):
    out = pack()
    record = read_json(out / "finetune.json")
    states = {
        f"states/seed-{row['seed']}-step-{row['deployed_step']}.safetensors"
        for row in rows(out, "deployments")
    }
    assert set(record["outputs"]) == {*TABLES, *states}
    assert {p.name for p in (out / "states").iterdir()} == {name.split("/")[1] for name in states}
    assert record["facts"] == {"device": "cpu", "precision": "fp32", "classes": 10}
    for table in TABLES:
        names = pq.read_table(out / table).column_names
        assert names[:5] == IDENTITY
        first = rows(out, table.removesuffix(".parquet"))[0]
        assert [first[name] for name in IDENTITY] == ["cnn", 3.0, "digits", "ours", 0]


def test_columns_and_their_types(pack):
    out = pack(seeds=[4], steps=2)
    found = {
        table: {field.name: str(field.type) for field in pq.read_schema(out / table)}
        for table in TABLES
    }
    for columns in found.values():
        assert list(columns.items())[:5] == [
            ("source", "string"),
            ("epoch", "double"),
            ("target", "string"),
            ("recipe", "string"),
            ("seed", "int64"),
        ]
    rest = {table: dict(list(columns.items())[5:]) for table, columns in found.items()}
    assert rest == {
        "steps.parquet": {
            "step": "int64", "loss": "double", "head_norm": "double", "diverged": "bool"
        },
        "validations.parquet": {
            "step": "int64", "phase": "string", "loss": "double", "top1": "double",
            "top5": "double", "correct": "int64", "images": "int64",
        },
        "dynamics.parquet": {
            "step": "int64", "squared_error": "double", "entropy": "double",
            "soft_accuracy": "double", "feature_gradient": "double", "head_update": "double",
            "body_update": "double", "body_norm": "double", "body_distance": "double",
        },
        "layers.parquet": {
            "position": "int64", "layer": "string", "parameters": "int64", "distance": "double"
        },
        "deployments.parquet": {"step": "int64", "deployed_step": "int64"},
        "runs.parquet": {
            "steps": "int64", "status": "string", "diverged_step": "int64",
            "warmup_end_step": "int64", "body_distance": "double", "images": "int64",
            "prototype_cosine": "double",
        },
    }  # fmt: skip


def test_each_seed_has_the_protocols_rows(pack):
    out = pack(steps=15)
    for seed in (0, 1):

        def steps(table, seed=seed):
            return [row["step"] for row in rows(out, table) if row["seed"] == seed]

        assert steps("steps") == list(range(16))
        assert steps("validations") == validation_steps(15)
        assert steps("deployments") == deployment_steps(15)
    runs = rows(out, "runs")
    assert [(run["steps"], run["status"], run["images"]) for run in runs] == [(15, "ok", 750)] * 2
    assert all(run["diverged_step"] is run["warmup_end_step"] is None for run in runs)
    first, second, *_ = rows(out, "steps")
    assert first["loss"] is None and second["loss"] > 0


def test_deployed_states_score_what_was_written_down(pack, digits):
    out = pack()
    split = load_split(digits, "val")
    validated = {(row["seed"], row["step"]): row for row in rows(out, "validations")}
    for row in rows(out, "deployments"):
        if row["deployed_step"]:
            peer = build_network(
                Backbone(widths=(4, 8)), 10, channels=1, mean=[0], std=[1],
                body_generator=generator("x"), head_generator=generator("x"),
            )  # fmt: skip
            name = f"seed-{row['seed']}-step-{row['deployed_step']}.safetensors"
            peer.load_state_dict(load_file(out / "states" / name))
            expected = validated[row["seed"], row["deployed_step"]]
            assert Evaluator(peer).score(split).correct == expected["correct"]


def test_it_starts_from_the_snapshots_body_and_a_head_of_its_own(pack):
    out = pack(head_init="normal", head_sigma=1e-8, head_bias=True)
    source = network().state_dict()
    heads = []
    for seed in (0, 1):
        state = load_file(out / "states" / f"seed-{seed}-step-0.safetensors")
        for name in source:
            if not name.startswith("head."):
                assert torch.equal(state[name], source[name]), name
        assert state["head.weight"].shape == (10, 8)
        assert state["head.weight"].std().item() == pytest.approx(1e-8, rel=0.3)
        assert torch.equal(state["head.bias"], torch.zeros(10))
        heads.append(state["head.weight"])
    assert not torch.equal(*heads)


def test_distance_travelled_is_that_of_the_state_deployed_last(pack):
    out = pack()
    source = dict(network().named_parameters())
    for run in rows(out, "runs"):
        last = [row for row in rows(out, "deployments") if row["seed"] == run["seed"]][-1]
        name = f"seed-{run['seed']}-step-{last['deployed_step']}.safetensors"
        state = load_file(out / "states" / name)
        moved = [state[n] - p.detach() for n, p in source.items() if n.startswith("body.")]
        expected = torch.cat([tensor.flatten() for tensor in moved]).norm().item()
        assert run["body_distance"] == pytest.approx(expected, rel=1e-5)
        assert expected > 0.1


def test_final_deploys_the_state_after_the_last_step(pack):
    out = pack(steps=30, protocol="final", schedule="step", optimiser="nesterov")
    assert {(row["step"], row["deployed_step"]) for row in rows(out, "deployments")} == {(30, 30)}
    names = {path.name for path in (out / "states").iterdir()}
    assert names == {"seed-0-step-30.safetensors", "seed-1-step-30.safetensors"}
    source = {n: p.detach() for n, p in network().named_parameters() if n.startswith("body.")}
    for run in rows(out, "runs"):
        state = load_file(out / "states" / f"seed-{run['seed']}-step-30.safetensors")
        moved = torch.cat([(state[name] - source[name]).flatten() for name in source]).norm()
        looks = [row for row in rows(out, "dynamics") if row["seed"] == run["seed"]]
        assert [row["step"] for row in looks][:4] == [1, 3, 4, 6]
        assert looks[-1]["body_distance"] == pytest.approx(moved.item(), rel=1e-5)
        assert run["body_distance"] == pytest.approx(moved.item(), rel=1e-5)


@pytest.mark.fault(23)
def test_final_deploys_the_start_of_a_diverged_run(pack):
    out = pack(seeds=[0], protocol="final", head_sigma=1e38, head_init="normal")
    (run,) = rows(out, "runs")
    assert (run["status"], run["body_distance"]) == ("diverged", 0.0)
    assert [(row["step"], row["deployed_step"]) for row in rows(out, "deployments")] == [(15, 0)]
    assert [p.name for p in (out / "states").iterdir()] == ["seed-0-step-0.safetensors"]


@pytest.mark.fault(22)
def test_images_of_a_split_smaller_than_a_batch(pack):
    out = pack(seeds=[0], steps=2, batches="shuffled", batch_size=500)
    assert rows(out, "runs")[0]["images"] == 2 * 400


def test_warm_up_is_reported(pack):
    out = pack(steps=40, warmup="frozen-stats", warmup_gain=0.9, seeds=[0])
    assert rows(out, "runs")[0]["warmup_end_step"] == 15
    phases = {row["step"]: row["phase"] for row in rows(out, "validations")}
    assert [step for step, phase in phases.items() if phase == "warmup"] == [1, 3, 6, 10, 15]


def test_what_differs_from_run_to_run_is_in_the_timing_file(pack):
    timing = read_json(pack() / "finetune.timing.json")
    assert set(timing["run_seconds"]) == {"0", "1"}
    assert all(0 < seconds < 60 for seconds in timing["run_seconds"].values())
    assert (timing["executed_steps"], timing["repeated_steps"], timing["starts"]) == (30, 0, 1)
    assert timing["device"] == "cpu" and timing["precision"] == "fp32"


# --- what it does not depend on ------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_repeated_it_gives_the_same_bytes(pack, precision):
    compute = {"precision": precision}
    assert contents(pack("one", compute=compute)) == contents(pack("two", compute=compute))


def test_a_seed_alone_is_the_seed_in_a_pack_of_five(pack):
    five = pack("five", seeds=[0, 1, 2, 3, 4], flip=True)
    alone = pack("alone", seeds=[3], flip=True)
    for table in TABLES:
        name = table.removesuffix(".parquet")
        assert [row for row in rows(five, name) if row["seed"] == 3] == rows(alone, name)
    states = sorted((alone / "states").iterdir())
    assert states
    for state in states:
        assert state.read_bytes() == (five / "states" / state.name).read_bytes()


@pytest.mark.parametrize("how", ["deleted", "unreadable", "changed"])
def test_test_data_cannot_influence_training(pack, digits, how):
    before = contents(pack("before"))
    for file in digits.glob("*test*"):
        if how == "deleted":
            file.unlink()
        elif how == "unreadable":
            file.chmod(0)
            if os.access(file, os.R_OK):  # root reads everything: a folder cannot be opened
                file.unlink()
                file.mkdir()
        else:
            file.write_bytes(file.read_bytes()[::-1])
    assert contents(pack("after")) == before


def test_weight_decay_and_order_of_seeds(pack):
    forward = pack("forward", seeds=[0, 1], weight_decay=0.1)
    backward = pack("backward", seeds=[1, 0], weight_decay=0.1)
    for row in rows(forward, "runs"):
        assert row in rows(backward, "runs")


# --- what goes wrong -----------------------------------------------------------------------


@pytest.mark.fault(23)
def test_a_diverged_run_is_recorded_and_the_others_go_on(pack, monkeypatch):
    from fastpipe.training.loop import FineTuning

    features = FineTuning._features

    def poisoned(self, step):
        batch, labels = features(self, step)
        bad = self.feed.seed == 0 and self.step >= 3
        return batch * (float("nan") if bad else 1.0), labels

    monkeypatch.setattr(FineTuning, "_features", poisoned)
    out = pack()
    first, second = rows(out, "runs")
    assert (first["status"], first["diverged_step"], first["steps"]) == ("diverged", 4, 3)
    assert (second["status"], second["diverged_step"], second["steps"]) == ("ok", None, 15)
    steps = [row for row in rows(out, "steps") if row["seed"] == 0]
    assert [row["diverged"] for row in steps] == [False] * 4 + [True]
    assert steps[-1]["loss"] is None
    deployed = [row for row in rows(out, "deployments") if row["seed"] == 0]
    assert [row["step"] for row in deployed] == deployment_steps(15)
    best = deployed[-1]["deployed_step"]
    assert best in (1, 3) and deployed[-2]["deployed_step"] == best


@pytest.mark.fault(23)
def test_diverging_at_once_deploys_the_start_and_travels_nowhere(pack):
    out = pack(seeds=[0], alpha=0.1, beta=0.1, head_sigma=1e38, head_init="normal")
    (run,) = rows(out, "runs")
    assert (run["status"], run["diverged_step"], run["body_distance"]) == ("diverged", 1, 0.0)
    assert {row["deployed_step"] for row in rows(out, "deployments")} == {0}
    assert rows(out, "validations") == []
    assert [p.name for p in (out / "states").iterdir()] == ["seed-0-step-0.safetensors"]


def test_a_snapshot_of_another_backbone_is_refused(pack, snapshot, tmp_path):
    path = snapshot / "weights.safetensors"
    tensors = {k: v for k, v in network().state_dict().items() if k != "body.0.weight"}
    save_tensors(path, tensors)
    record = read_json(snapshot / "pretrain.json") | {"outputs": {path.name: digest(path)}}
    write_json(snapshot / "pretrain.json", record)
    with pytest.raises(UserError, match=r"another backbone.*1 missing: body.0.weight"):
        pack()
    assert not list((tmp_path / "pack").iterdir())


def test_images_of_a_size_the_body_does_not_take_are_refused(snapshot, digits, tmp_path):
    wanted = spec().model_copy(update={"backbone": Backbone(name="lenet5")})
    with pytest.raises(UserError, match="lenet5 takes images of 28 or 32 pixels, not 8×8"):
        finetune(
            wanted,
            snapshot=snapshot,
            dataset=digits,
            out=tmp_path / "out",
            work=tmp_path / ".work",
            identity="identity",
        )


def test_damaged_images_are_named(pack, digits):
    path = digits / "train-images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"train-images.npy is damaged"):
        pack()


def test_an_unbalanced_batch_is_refused(pack):
    with pytest.raises(UserError, match="batch of 55 cannot hold the same number"):
        pack(batch_size=55)


# --- resumption ----------------------------------------------------------------------------

DRIVER = """
import os, signal, sys
from pathlib import Path
from fastpipe.stages.finetune import FinetuneSpec, finetune
from fastpipe.training import resumption

resumption.LEAST_INTERVAL_SECONDS, resumption.LARGEST_SHARE = 0.0, 1e9
note = resumption.StepLog.note

def fatal(self, run, step):
    note(self, run, step)
    if (run, step) == (1, 33):
        os.kill(os.getpid(), signal.SIGKILL)

resumption.StepLog.note = fatal
spec, snapshot, dataset, out, work = sys.argv[1:]
finetune(FinetuneSpec.model_validate_json(spec), snapshot=Path(snapshot), dataset=Path(dataset),
         out=Path(out), work=Path(work), identity="identity")
"""


PACK = {"seeds": [0, 1, 2], "steps": 40, "warmup": "frozen-stats", "warmup_gain": 0.9}


def test_killed_and_started_again_gives_the_same_bytes(pack, snapshot, digits, tmp_path):
    """Killed in the second run at step 33, after a save at 28."""
    places = [str(p) for p in (snapshot, digits, tmp_path / "killed", tmp_path / ".work")]
    arguments = [sys.executable, "-c", DRIVER, spec(**PACK).model_dump_json(), *places]
    done = subprocess.run(arguments, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    assert not list((tmp_path / "killed").iterdir())

    resumed = contents(pack("killed", **PACK))
    timing = read_json(tmp_path / "killed/finetune.timing.json")
    # The first run is not repeated, of the second the steps after the save at 28.
    assert (timing["executed_steps"], timing["repeated_steps"], timing["starts"]) == (125, 5, 2)
    assert resumed == contents(pack("undisturbed", **PACK))


def interrupted(pack, monkeypatch, **fields):
    """Run the pack `killed` until step 33 of seed 1, saving at every validation."""
    note = resumption.StepLog.note

    def interrupt(self, run, step):
        note(self, run, step)
        if (run, step) == (1, 33):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(resumption.StepLog, "note", interrupt)
        patch.setattr(resumption, "LEAST_INTERVAL_SECONDS", 0.0)
        patch.setattr(resumption, "LARGEST_SHARE", 1e9)
        pack("killed", **fields)


@pytest.mark.parametrize(
    ("what", "repeated"),
    [
        ("seed-1/*.safetensors", 33),
        ("seed-0.json", 45),
        ("states/seed-0-*", 45),
        ("states/seed-1-*", 33),
    ],
)
def test_what_was_damaged_meanwhile_is_computed_anew(pack, tmp_path, monkeypatch, what, repeated):
    interrupted(pack, monkeypatch, **PACK)
    for file in (tmp_path / ".work").glob(f"*/{what}"):
        file.write_bytes(file.read_bytes()[:-5] + b"xxxxx")
    resumed = contents(pack("killed", **PACK))
    timing = read_json(tmp_path / "killed/finetune.timing.json")
    assert timing["repeated_steps"] == repeated
    assert resumed == contents(pack("undisturbed", **PACK))


def test_an_error_while_writing_keeps_the_finished_runs(pack, tmp_path, monkeypatch):
    import fastpipe.stages.finetune as stage

    write = stage._write_tables

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage, "_write_tables", no_space)
    with pytest.raises(UserError, match="no space left"):
        pack()
    assert not list((tmp_path / "pack").iterdir())
    monkeypatch.setattr(stage, "_write_tables", write)
    pack()
    timing = read_json(tmp_path / "pack/finetune.timing.json")
    assert (timing["executed_steps"], timing["starts"]) == (30, 2)


def test_without_hard_links_states_are_copied(pack, monkeypatch):
    linked = contents(pack("linked"))

    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert contents(pack("copied")) == linked


FINAL = {"seeds": [0, 1, 2], "steps": 40, "protocol": "final", "optimiser": "nesterov"} | {
    "schedule": "step", "weight_decay": 0.1, "regulariser": "l2-sp", "decay_form": "decoupled",
    "batches": "shuffled", "crop": "resized", "colour_jitter": 0.3, "bn_momentum": 0.8,
}  # fmt: skip


def test_all_of_a_recipe_survives_an_interruption(pack, monkeypatch):
    interrupted(pack, monkeypatch, **FINAL)
    resumed = pack("killed", **FINAL)
    assert read_json(resumed / "finetune.timing.json")["repeated_steps"] == 1  # saved at 32
    assert contents(resumed) == contents(pack("undisturbed", **FINAL))


def test_nothing_is_left_in_the_work_folder(pack, tmp_path):
    pack()
    assert {p.name for p in (tmp_path / ".work").iterdir()} == {"heartbeats", "locks"}
    assert not list((tmp_path / ".work" / "heartbeats").iterdir())
    shutil.rmtree(tmp_path / ".work")
