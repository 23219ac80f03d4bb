import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from fastpipe.config.backbone import Backbone
from fastpipe.config.recipe import Recipe
from fastpipe.data.arrays import Split
from fastpipe.data.streams import generator
from fastpipe.models.network import build_network
from fastpipe.training.dynamics import Observed
from fastpipe.training.history import Deployment, History, Step, Validation
from fastpipe.training.loop import FineTuning, copy_state
from fastpipe.training.resumption import (
    Saved,
    Saver,
    Saving,
    StepLog,
    Watcher,
    load_optimiser,
    optimiser_tensors,
    prefixed,
    restored,
    without_prefix,
)


class StopsAt(Watcher):
    """Takes the run's state after a validation, and ends it there."""

    def __init__(self, training, step):
        self.training, self.step, self.saved = training, step, None

    def after_validation(self):
        if self.training.step == self.step:
            raise KeyboardInterrupt


RECIPES = {
    "sgd": {},
    "ema": {"momentum_form": "ema", "weight_decay": 0.01},
    "nesterov": {"optimiser": "nesterov"},
    "adam": {"optimiser": "adam", "alpha": 0.01, "beta": 0.001},
    "radam": {"optimiser": "radam", "alpha": 0.01, "beta": 0.001},
    "warm-up, saved in it": {"warmup": "frozen-stats", "warmup_patience": 12},
    "warm-up, saved after it": {"warmup": "running-stats", "warmup_patience": 1, "warmup_gain": 1},
    "flipped": {"flip": True},
    "schedule and L2-SP": {
        "optimiser": "nesterov", "schedule": "step", "milestones": (0.5, 0.75),
        "regulariser": "l2-sp", "weight_decay": 0.1, "head_weight_decay": 0.01,
    },
    "decoupled": {
        "schedule": "cosine", "decay_form": "decoupled", "effective_weight_decay": 1.0,
        "bn_momentum": 0.5,
    },
    "augmented": {"crop": "resized", "colour_jitter": 0.4, "batches": "shuffled"},
    "features": {"beta": 0.0, "body_mode": "inference"},
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_a_resumed_run_is_the_undisturbed_one_to_the_last_bit(network, task, tmp_path, name):
    options = {"steps": 24, "batch_size": 50, "alpha": 0.1, "beta": 0.05} | RECIPES[name]
    recipe = Recipe(**options)

    def training():
        return FineTuning(network(), recipe, task, seed=1)

    undisturbed, states = training(), {}
    undisturbed.run(states.__setitem__)

    killed, some = training(), {}
    with pytest.raises(KeyboardInterrupt):
        killed.run(some.__setitem__, StopsAt(killed, 15))
    Saver(tmp_path).save(killed.step, *killed.state())

    resumed = training()
    resumed.restore(Saver(tmp_path).load())
    assert resumed.step == 15
    resumed.run(some.__setitem__)

    assert resumed.history == undisturbed.history
    for left, right in (
        (copy_state(resumed.network), copy_state(undisturbed.network)),
        (resumed.best, undisturbed.best),
        *((some[step], states[step]) for step in states),
    ):
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left)


def test_a_resumed_run_still_knows_its_source_and_its_initial_state(network, task, tmp_path):
    recipe = Recipe(steps=40, batch_size=50, alpha=0.1, beta=0.05, protocol="final")
    undisturbed, states = FineTuning(network(), recipe, task, 1), {}
    undisturbed.run(states.__setitem__)

    killed = FineTuning(network(), recipe, task, 1)
    with pytest.raises(KeyboardInterrupt):
        killed.run(lambda *_: None, StopsAt(killed, 20))
    Saver(tmp_path).save(killed.step, *killed.state())
    resumed, some = FineTuning(network(), recipe, task, 1), {}
    resumed.restore(Saver(tmp_path).load())
    resumed.run(some.__setitem__)
    assert resumed.history == undisturbed.history
    assert list(some) == list(states) == [40]
    assert all(torch.equal(some[40][key], states[40][key]) for key in states[40])

    diverging, kept = FineTuning(network(), recipe, task, 1), {}
    diverging.restore(Saver(tmp_path).load())
    diverging.network.head.weight.data.fill_(float("nan"))
    diverging.run(kept.__setitem__)
    start = copy_state(network())
    assert list(kept) == [0] and all(torch.equal(kept[0][key], start[key]) for key in start)


# --- a network of torchvision's that has dropout


@pytest.fixture
def coloured(task):
    """The task in three channels at 32 px, five images of each class to validate on."""

    def enlarged(split, count):
        images = split.images[:count].repeat(1, 3, 1, 1).repeat_interleave(4, 2)
        images = images.repeat_interleave(4, 3).contiguous(memory_format=torch.channels_last)
        return Split(images, split.labels[:count])

    return replace(task, train=enlarged(task.train, 400), val=enlarged(task.val, 50))


def dropping(task, seed):
    """A run of a MobileNet, whose classifier drops a fifth of its inputs."""
    network = build_network(
        Backbone(name="mobilenet_v3_small"),
        10,
        channels=3,
        mean=[0.3] * 3,
        std=[0.4] * 3,
        body_generator=generator("body"),
        head_generator=generator("head"),
    )
    assert [module.p for module in network.body.modules() if isinstance(module, nn.Dropout)] == [
        0.2
    ]
    recipe = Recipe(steps=8, batch_size=20, alpha=0.1, beta=0.01)
    return FineTuning(network, recipe, task, seed)


def outcome(training):
    training.run(lambda step, state: None)
    losses = [row.loss for row in training.history.steps]
    return losses, {key: tensor.clone() for key, tensor in copy_state(training.network).items()}


def assert_same(some, others):
    assert some[0] == others[0]
    assert all(torch.equal(some[1][key], others[1][key]) for key in others[1])


def test_dropout_goes_on_where_it_was_when_a_run_is_resumed(coloured, tmp_path):
    undisturbed = outcome(dropping(coloured, seed=1))
    killed = dropping(coloured, seed=1)
    with pytest.raises(KeyboardInterrupt):
        killed.run(lambda step, state: None, StopsAt(killed, 3))
    Saver(tmp_path).save(killed.step, *killed.state())
    torch.rand(99)  # the other process had other numbers behind it
    resumed = dropping(coloured, seed=1)
    resumed.restore(Saver(tmp_path).load())
    assert resumed.step == 3
    assert_same(outcome(resumed), undisturbed)


def test_dropout_is_the_same_in_any_order_of_seeds_and_different_for_each(coloured):
    forward = [outcome(dropping(coloured, seed)) for seed in (0, 1)]
    backward = [outcome(dropping(coloured, seed)) for seed in (1, 0)]
    assert_same(forward[0], backward[1])
    assert_same(forward[1], backward[0])
    assert forward[0][0] != forward[1][0]


def test_a_history_survives_json(tmp_path):
    history = History(
        [Step(0, None, 0.1, False), Step(1, 1 / 3, math.pi, False), Step(2, None, 1e-300, True)],
        [Observed(1, 0.9, 2.3, 0.1, 1e-9, 1 / 7, None, 3.5, 1 / 9)],
        [Validation(1, "warmup", 2 / 3, 0.1, None, 7, 70)],
        [Deployment(0, 0), Deployment(1, 1)],
        diverged_step=2,
        warmup_end_step=None,
    )
    Saver(tmp_path).save(2, {}, history.as_json())
    assert History.from_json(Saver(tmp_path).load().notes) == history


def test_the_newest_save_is_kept_alone(tmp_path):
    saver = Saver(tmp_path)
    for step in (9, 10, 100):
        saver.save(step, {"a": torch.tensor([float(step)])}, {"step": step})
    assert len(list(tmp_path.iterdir())) == 1
    found = Saver(tmp_path).load()
    assert found.notes == {"step": 100} and found.tensors["a"].item() == 100


def test_nothing_saved_is_none(tmp_path):
    assert Saver(tmp_path).load() is None
    assert restored(Saver(tmp_path)) is None


def test_a_save_cut_off_before_the_rename_leaves_the_one_before(tmp_path, monkeypatch):
    saver = Saver(tmp_path)
    saver.save(1, {}, "old")

    def no_hash(path):
        raise OSError("killed here")

    monkeypatch.setattr("fastpipe.training.resumption.digest", no_hash)
    with pytest.raises(OSError, match="killed here"):
        saver.save(2, {}, "new")
    monkeypatch.undo()
    assert Saver(tmp_path).load().notes == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_save_is_passed_over(tmp_path, capsys, damage):
    saver = Saver(tmp_path)
    saver.save(9, {"a": torch.arange(100.0)}, "old")
    old = next(tmp_path.iterdir())
    kept = old.read_bytes()
    saver.save(10, {"a": torch.arange(100.0)}, "new")
    new = next(tmp_path.iterdir())
    old.write_bytes(kept)
    content = bytearray(new.read_bytes())
    content[-20] ^= 1
    new.write_bytes(content if damage == "flip" else content[:-20])
    assert Saver(tmp_path).load().notes == "old"
    assert "is damaged; going on without it" in capsys.readouterr().out
    assert not new.exists()


def test_saves_take_a_small_share_of_the_time(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("fastpipe.training.resumption.time.monotonic", lambda: now[0])
    saver = Saver(tmp_path)
    assert not saver.due()
    now[0] += 1.0
    assert saver.due()

    def slow(path):
        now[0] += 2.0  # a save of two seconds …
        return "0" * 64

    monkeypatch.setattr("fastpipe.training.resumption.digest", slow)
    saver.save(1, {}, None)
    assert saver.seconds == pytest.approx(2.0)
    now[0] += 399.0
    assert not saver.due()  # … is followed by four hundred without one
    now[0] += 2.0
    assert saver.due()


def test_saving_watches_logs_and_saves_when_due(tmp_path):
    class Training:
        step = 3

        def state(self):
            return Saved({"a": torch.ones(2)}, {"rows": [1, 2]})

    saver, log, told = Saver(tmp_path / "saves"), StepLog(tmp_path / "log"), []
    saving = Saving(Training(), saver, log, 7, notes=lambda: "more", tell=told.append)
    saving.after_step(1)
    saving.after_validation()
    assert told == [3] and restored(saver) is None
    saver._interval = 0.0
    saving.after_validation()
    saved, more = restored(Saver(tmp_path / "saves"))
    assert (saved.notes, more) == ({"rows": [1, 2]}, "more")
    assert torch.equal(saved.tensors["a"], torch.ones(2))
    assert log.counts() == (1, 0, 1)


def test_the_log_counts_what_was_repeated(tmp_path):
    for steps in ([(0, 1), (0, 2), (0, 3)], [(0, 3), (0, 4), (1, 1)]):
        log = StepLog(tmp_path / "log")
        for run, step in steps:
            log.note(run, step)
    assert log.counts() == (6, 1, 2)  # steps, repeated, starts


def test_optimiser_state_of_no_parameter_is_refused(network):
    net = network()
    optimiser = torch.optim.SGD(net.parameters(), lr=1.0)
    with pytest.raises(ValueError, match=r"'body.9.weight/mom.*belongs to no parameter"):
        load_optimiser(optimiser, net, {"body.9.weight/momentum_buffer": torch.zeros(1)})


def test_optimiser_state_keeps_the_parameters_memory_format(network):
    net = network()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimiser.step()
    tensors = {k: v.contiguous() for k, v in optimiser_tensors(optimiser, net).items()}
    other = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    load_optimiser(other, net, tensors)
    for parameter in net.parameters():
        buffer = other.state[parameter]["momentum_buffer"]
        assert buffer.stride() == parameter.stride() and not buffer.requires_grad
        assert torch.equal(buffer, optimiser.state[parameter]["momentum_buffer"])


def test_prefixes_come_off_as_they_went_on():
    tensors = {"a": torch.ones(1), "b/c": torch.zeros(1)}
    both = prefixed("x/", tensors) | prefixed("y/", {"a": torch.tensor(5.0)})
    assert without_prefix("x/", both) == tensors
