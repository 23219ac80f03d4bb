import math

import pytest
import torch
from torch.nn import functional as F

from fastpipe.config.source import Pretraining
from fastpipe.data.batches import ShuffledBatches
from fastpipe.errors import UserError
from fastpipe.evaluation.inference import Evaluator
from fastpipe.training.loop import copy_state
from fastpipe.training.pretraining import DivergedError, SourceTraining
from fastpipe.training.resumption import Saver, Watcher

PER_EPOCH = 10  # 1,000 training images in batches of 100


def training(network, task, **recipe):
    return SourceTraining(network(), Pretraining(**({"epochs": 3.0, "lr": 0.1} | recipe)), task)


def test_it_is_the_plain_loop(network, task):
    ours = training(network, task, weight_decay=0.01)
    ours.run(1.0)
    peer = network()
    optimiser = torch.optim.SGD(peer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    batches = ShuffledBatches(1000, 100, "digits", 0)
    rows = []
    for step in range(1, PER_EPOCH + 1):
        images, labels = task.train.gather(batches.indices(step), "cpu")
        optimiser.zero_grad()
        logits = peer(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        optimiser.step()
        top1 = (logits.argmax(1) == labels).double().mean().item()
        rows.append((step / PER_EPOCH, step, "train", loss.item(), top1))
    assert [row for row in ours.rows if row.split == "train"] == rows
    end, wanted = copy_state(ours.network), copy_state(peer)
    assert all(torch.equal(end[key], wanted[key]) for key in wanted)
    score = Evaluator(peer).score(task.val)
    assert ours.rows[-1] == (1.0, 10, "val", score.loss, score.top1)
    assert ours.top1 == score.top1


@pytest.mark.parametrize(
    ("epoch", "validated"),
    [(0.0, [0]), (0.25, [0, 2]), (1.0, [0, 10]), (1.3, [0, 10, 13]), (3.0, [0, 10, 20, 30])],
)
def test_validations_are_at_whole_epochs_and_at_the_end(network, task, epoch, validated):
    ours = training(network, task)
    ours.run(epoch)
    assert [row.step for row in ours.rows if row.split == "val"] == validated
    steps = list(range(1, validated[-1] + 1))
    assert [row.step for row in ours.rows if row.split == "train"] == steps
    assert [row.epoch for row in ours.rows] == [row.step / PER_EPOCH for row in ours.rows]
    assert [row.step for row in ours.rows] == sorted(row.step for row in ours.rows)


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
def test_cutting_it_anywhere_changes_no_bit(network, task, schedule):
    whole = training(network, task, schedule=schedule, flip=True)
    whole.run(2.0)
    before = training(network, task, schedule=schedule, flip=True)
    before.run(0.0)
    for epoch in (0.25, 0.9, 1.0, 2.0):
        after = training(network, task, schedule=schedule, flip=True)
        after.network.load_state_dict(before.network.state_dict())
        cut = SourceTraining(after.network, after.recipe, task, before.step, before.rows)
        cut.load_moments(before.moments())
        cut.run(epoch)
        before = cut
    assert before.rows == whole.rows
    for mine, wanted in (
        (copy_state(before.network), copy_state(whole.network)),
        (before.moments(), whole.moments()),
    ):
        assert mine.keys() == wanted.keys()
        assert all(torch.equal(mine[key], wanted[key]) for key in wanted)


def test_flips_are_the_sources_choice(network, task):
    losses = []
    for flip in (False, True):
        ours = training(network, task, flip=flip)
        ours.run(0.1)
        losses.append(ours.rows[1].loss)
    assert losses[0] != losses[1]


def test_it_trains_in_training_mode_whatever_mode_it_is_given(network, task):
    losses = []
    for mode in (True, False):
        ours = training(network, task)
        ours.network.train(mode)
        ours.run(0.1)
        losses.append(ours.rows[1].loss)
    assert losses[0] == losses[1]


class StopsAt(Watcher):
    def __init__(self, step):
        self.step, self.taken = step, []

    def after_step(self, step):
        self.taken.append(step)

    def after_validation(self):
        if self.taken[-1] == self.step:
            raise KeyboardInterrupt


def test_a_resumed_training_is_the_undisturbed_one(network, task, tmp_path):
    whole = training(network, task, batch_size=10)
    whole.run(0.8)
    killed = training(network, task, batch_size=10)
    with pytest.raises(KeyboardInterrupt):
        killed.run(0.8, StopsAt(50))
    Saver(tmp_path).save(killed.step, *killed.state())
    resumed, watcher = training(network, task, batch_size=10), StopsAt(None)
    resumed.restore(Saver(tmp_path).load())
    resumed.run(0.8, watcher)
    assert watcher.taken == list(range(51, 81))
    assert resumed.rows == whole.rows
    end, wanted = copy_state(resumed.network), copy_state(whole.network)
    assert all(torch.equal(end[key], wanted[key]) for key in wanted)


def test_the_cosine_spans_the_epochs(network, task):
    ours = training(network, task, schedule="cosine")
    rates = [ours.learning_rate(step) for step in range(1, 32)]
    assert rates[0] == 0.1
    assert rates[15] == pytest.approx(0.05)
    assert rates[29] == pytest.approx(0.05 * (1 + math.cos(math.pi * 29 / 30)))
    assert rates[30] == pytest.approx(0.0)
    assert rates == sorted(rates, reverse=True)
    constant = training(network, task)
    assert {constant.learning_rate(step) for step in (1, 30)} == {0.1}


def test_the_rate_reaches_the_optimiser(network, task):
    ours = training(network, task, schedule="cosine")
    ours.run(1.5)
    assert ours.optimiser.param_groups[0]["lr"] == ours.learning_rate(15) < 0.06


@pytest.mark.fault(23)
@pytest.mark.parametrize("prompt", [True, False])
def test_divergence_names_the_step(network, task, prompt):
    ours = training(network, task)
    calls = iter(range(1, 100))
    ours.network.body.register_forward_hook(
        lambda _m, _i, out: out * (float("nan") if next(calls) == 4 else 1)
    )
    ours._prompt = prompt
    with pytest.raises(DivergedError, match="the loss of step 4 is not finite"):
        ours.run(1.0)


@pytest.mark.fault(23)
@pytest.mark.parametrize("prompt", [True, False])
def test_a_gradient_that_is_not_finite_is_divergence(network, task, prompt):
    ours = training(network, task)
    calls = iter(range(1, 100))
    parameter = next(ours.network.body.parameters())
    parameter.register_hook(lambda grad: grad * (math.inf if next(calls) == 4 else 1))
    ours._prompt = prompt
    before = []
    watcher = Watcher()
    watcher.after_step = lambda step: before.append((step, parameter.isfinite().all().item()))
    with pytest.raises(DivergedError, match="a gradient of step 4 is not finite"):
        ours.run(1.0, watcher)
    if prompt:
        assert before == [(1, True), (2, True), (3, True)]
        assert parameter.isfinite().all()


@pytest.mark.fault(23)
def test_a_state_that_is_not_finite_is_no_snapshot(network, task):
    ours = training(network, task)
    norm = next(module for module in ours.network.body if hasattr(module, "running_var"))
    calls = iter(range(1, 100))

    def hook(_module, _inputs):
        if next(calls) == 10:
            norm.running_var[0] = math.inf

    norm.register_forward_pre_hook(hook)
    with pytest.raises(DivergedError, match=r"the network's state of step \d+ is not finite"):
        ours.run(1.0)


@pytest.mark.fault(22)
def test_a_batch_larger_than_the_data_is_refused(network, task):
    with pytest.raises(UserError, match="batch of 1001 is larger than the training split of 1000"):
        training(network, task, batch_size=1001)
