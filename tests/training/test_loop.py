import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fastpipe.config.recipe import Recipe
from fastpipe.data.arrays import Split
from fastpipe.data.batches import BalancedBatches
from fastpipe.errors import UserError
from fastpipe.evaluation.anytime import deployed_steps
from fastpipe.evaluation.inference import Evaluator, Score
from fastpipe.models.network import Network
from fastpipe.training.history import History, Validation
from fastpipe.training.loop import FineTuning, batch_size, copy_state
from fastpipe.training.protocol import deployment_steps, validation_steps
from fastpipe.training.resumption import Watcher


def run(network, task, seed=0, evaluator=None, prompt=True, watcher=None, **recipe):
    """A finished run and the states it handed over."""
    recipe = Recipe(**({"steps": 12, "batch_size": 50, "alpha": 0.1, "beta": 0.05} | recipe))
    training = FineTuning(network, recipe, task, seed, evaluator)
    training._prompt = prompt
    states = {}
    training.run(states.__setitem__, watcher)
    return training, states


def same(some, others):
    return some.keys() == others.keys() and all(torch.equal(some[k], others[k]) for k in some)


def body_of(state, kind="parameters"):
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return {
        name: tensor
        for name, tensor in state.items()
        if name.startswith("body.") and name.endswith(statistics) == (kind == "statistics")
    }


class Scripted(Evaluator):
    """Scores that were written down beforehand."""

    def __init__(self, network: Network, correct, images):
        super().__init__(network)
        self.correct, self.images = iter(correct), images

    def score_head(self, features, head_weight, head_bias, labels):
        correct = next(self.correct)
        if correct is None:
            return Score(float("nan"), 0.1, None, self.images, 10**6)
        return Score(1.0, correct / self.images, None, self.images, correct)


# --- what is done --------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"flip": True}, {"momentum_form": "ema"}])
def test_it_is_the_plain_loop(network, task, options):
    training, _ = run(network(), task, steps=7, alpha=0.1, beta=0.1, **options)

    peer = network()
    form = {"dampening": 0.9} if options.get("momentum_form") == "ema" else {}
    optimiser = torch.optim.SGD(peer.parameters(), lr=0.1, momentum=0.9, **form)
    if form:
        for parameter in peer.parameters():
            optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    batches = BalancedBatches(task.train.labels, 50, "digits", 0)
    losses, norms = [], [peer.head.weight.norm().item()]
    for step in range(1, 8):
        images, labels = training.feed.batch(step)
        if not options.get("flip"):
            chosen = batches.indices(step)
            assert torch.equal(images, task.train.images[chosen])
            assert torch.equal(labels, task.train.labels[chosen])
        optimiser.zero_grad()
        loss = F.cross_entropy(peer(images), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        norms.append(peer.head.weight.norm().item())

    assert same(copy_state(training.network), copy_state(peer))
    assert [row.loss for row in training.history.steps] == [None, *losses]
    assert [row.head_norm for row in training.history.steps] == pytest.approx(norms)


def test_rows_are_those_of_the_protocol(network, task):
    training, _ = run(network(), task, steps=40)
    history = training.history
    assert [row.step for row in history.steps] == list(range(41))
    assert [row.step for row in history.validations] == validation_steps(40)
    assert [row.step for row in history.deployments] == deployment_steps(40)
    assert {row.phase for row in history.validations} == {"joint"}
    assert history.updates == 40
    assert not any(row.diverged for row in history.steps)


def test_deployments_are_those_of_the_definition_and_states_are_the_best(network, task):
    training, states = run(network(), task, steps=40)
    history = training.history
    scores = [(row.step, row.top1) for row in history.validations]
    assert dict(history.deployments) == deployed_steps(scores, deployment_steps(40))
    assert set(states) == {row.deployed_step for row in history.deployments}
    for row in history.validations:
        if row.step in states:
            peer = network()
            peer.load_state_dict(states[row.step])
            assert Evaluator(peer).score(task.val).correct == row.correct
    assert same(states[0], copy_state(network()))
    assert same(states[history.best_step], training.best)


def test_best_is_the_earlier_of_equals_and_step_zero_is_no_candidate(network, task):
    start = network()
    scripted = Scripted(start, [3, 5, 5, 4, 6], images=200)  # steps 1, 3, 6, 10, 12
    training, states = run(start, task, evaluator=scripted)
    assert training.history.deployments == [
        (0, 0), (1, 1), (2, 1), (3, 3), (5, 3), (8, 3), (12, 12)
    ]  # fmt: skip
    assert set(states) == {0, 1, 3, 12}
    assert training.history.best_step == 12


class States(Watcher):
    """The network's state after each step."""

    def __init__(self):
        self.training, self.after = None, {}

    def after_step(self, step):
        self.after[step] = copy_state(self.training.network)


def test_the_best_state_outlives_worse_ones_until_it_is_deployed(network, task):
    """Between checkpoints 34 and 55 lie validations 36 and 45; 36 is the best."""
    start, watcher, states = network(), States(), {}
    scripted = Scripted(start, [1, 2, 3, 4, 5, 6, 7, 50, 9, 10], images=200)
    recipe = Recipe(steps=55, batch_size=50, alpha=0.1, beta=0.05)
    watcher.training = FineTuning(start, recipe, task, 0, scripted)
    watcher.training.run(states.__setitem__, watcher)
    assert watcher.training.history.deployments[-1] == (55, 36)
    assert all(same(states[step], watcher.after[step]) for step in states if step)
    assert same(watcher.training.best, watcher.after[36])


def test_counts_decide_not_fractions():
    rows = [
        Validation(1, "joint", 1.0, 0.5, 0.9, 7, 10),
        Validation(3, "joint", 1.0, 0.4, 0.9, 8, 10),
    ]
    assert History(validations=rows).best_step == 3


def test_flips_are_the_recipes_choice(network, task):
    plain, mirrored = (run(network(), task, steps=1, flip=flip)[0] for flip in (False, True))
    assert plain.history.steps[1].loss != mirrored.history.steps[1].loss


# --- final: what training ends with --------------------------------------------------------


def test_final_deploys_the_last_state_however_good_it_is(network, task):
    start = network()
    scripted = Scripted(start, [90, *range(80, 61, -1)], images=200)
    training, states = run(start, task, evaluator=scripted, steps=40, protocol="final")
    history = training.history
    assert [row.step for row in history.validations] == validation_steps(40, "final")
    assert history.deployments == [(40, 40)] and list(states) == [40]
    assert same(states[40], copy_state(training.network)) and same(states[40], training.best)
    assert [row.step for row in history.dynamics] == [1, 2, 3, *range(4, 41, 2)]
    assert history.updates == 40


@pytest.mark.parametrize("prompt", [True, False])
@pytest.mark.parametrize("at", [1, 12])
def test_final_deploys_the_initial_state_of_a_diverged_run(network, task, prompt, at):
    evaluator, options = Evaluator(network()), {"protocol": "final", "prompt": prompt}
    training, states = run(poison(network(), at), task, evaluator=evaluator, **options)
    assert training.history.diverged_step == at
    assert training.history.deployments == [(12, 0)]
    assert list(states) == [0] and same(states[0], copy_state(network()))
    assert not training.best


def test_final_counts_the_last_validation_as_part_of_the_run(network, task):
    start = network()
    scripted = Scripted(start, [3] * 11 + [None], images=200)
    training, states = run(start, task, evaluator=scripted, protocol="final")
    assert training.history.diverged_step == 12
    assert training.history.deployments == [(12, 0)] and list(states) == [0]


def test_the_protocol_does_not_touch_training(network, task):
    (anytime, _), (final, _) = (
        run(network(), task, steps=30, protocol=protocol) for protocol in ("anytime", "final")
    )
    assert anytime.history.steps == final.history.steps
    assert same(copy_state(anytime.network), copy_state(final.network))


# --- schedules, batches --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "build"),
    [
        (
            {"schedule": "step", "milestones": (0.25, 0.5), "decay_factor": 0.2},
            lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 6], gamma=0.2),
        ),
        ({"schedule": "cosine"}, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 12)),
    ],
)
def test_schedules_are_torchs_on_both_rates(network, task, options, build):
    training, _ = run(network(), task, optimiser="nesterov", **options)
    peer = network()
    parts = [
        {"params": peer.head.parameters(), "lr": 0.1},
        {"params": peer.body.parameters(), "lr": 0.05},
    ]
    optimiser = torch.optim.SGD(parts, momentum=0.9, nesterov=True)
    scheduler = build(optimiser)
    for step in range(1, 13):
        images, labels = training.feed.batch(step)
        optimiser.zero_grad()
        F.cross_entropy(peer(images), labels).backward()
        optimiser.step()
        scheduler.step()
    for ours, theirs in zip(training.network.parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_shuffled_batches_take_each_image_once_an_epoch(network, task):
    recipe = Recipe(batches="shuffled", batch_size=300, steps=3)
    feed = FineTuning(network(), recipe, task, 0).feed
    epochs = [torch.cat([feed.views(step) for step in steps]) for steps in ((1, 2, 3), (4, 5, 6))]
    assert [len(epoch.unique()) for epoch in epochs] == [900, 900]  # the last 100 are dropped
    assert not torch.equal(*epochs)
    other = recipe.model_copy(update={"alpha": 1.0, "crop": "random"})
    shared = FineTuning(network(), other, task, 0).feed
    assert torch.equal(shared.views(2), feed.views(2))


@pytest.mark.fault(22)
def test_a_split_smaller_than_a_batch_is_the_batch(network, task):
    few = replace(task, train=Split(task.train.images[:30], task.train.labels[:30]))
    recipe = Recipe(batches="shuffled", batch_size=50, steps=4)
    training = FineTuning(network(), recipe, few, 0)
    assert batch_size(recipe, few) == 30 and batch_size(recipe, task) == 50
    assert sorted(training.feed.views(3).tolist()) == list(range(30))
    training.run(lambda step, state: None)
    assert training.history.updates == 4


# --- what moves ----------------------------------------------------------------------------


def test_feature_extraction_moves_only_the_head(network, task):
    training, _ = run(network(), task, beta=0.0, body_mode="inference")
    end, start = copy_state(training.network), copy_state(network())
    assert same(body_of(end), body_of(start))
    assert same(body_of(end, "statistics"), body_of(start, "statistics"))
    assert not torch.equal(end["head.weight"], start["head.weight"])


def test_rate_zero_in_training_mode_still_updates_running_statistics(network, task):
    training, _ = run(network(), task, beta=0.0, weight_decay=0.1)
    end, start = copy_state(training.network), copy_state(network())
    assert same(body_of(end), body_of(start))
    assert not same(body_of(end, "statistics"), body_of(start, "statistics"))


def test_a_frozen_head_moves_only_the_body(network, task):
    training, _ = run(network(), task, alpha=0.0, weight_decay=0.1)
    end, start = copy_state(training.network), copy_state(network())
    assert torch.equal(end["head.weight"], start["head.weight"])
    assert not same(body_of(end), body_of(start))


def test_with_both_rates_zero_nothing_moves(network, task):
    training, states = run(network(), task, alpha=0.0, beta=0.0, body_mode="inference")
    assert same(copy_state(training.network), copy_state(network()))
    assert set(states) == {0, 1}


class Moves(Watcher):
    """The body after each step, and whether a graph was built for it."""

    def __init__(self):
        self.bodies, self.statistics, self.training = [], [], None

    def after_step(self, step):
        state = copy_state(self.training.network)
        self.bodies.append(body_of(state))
        self.statistics.append(body_of(state, "statistics"))


@pytest.mark.parametrize("warmup", ["frozen-stats", "running-stats"])
def test_warm_up_moves_only_the_head_until_the_switch(network, task, warmup):
    start, watcher = network(), Moves()
    scripted = Scripted(start, [50] * 20, images=200)
    recipe = Recipe(steps=18, batch_size=50, alpha=0.1, beta=0.05, warmup=warmup)
    training = watcher.training = FineTuning(start, recipe, task, 0, scripted)
    training.run(lambda step, state: None, watcher)
    history = training.history
    assert history.warmup_end_step == 15
    assert [row.phase for row in history.validations] == ["warmup"] * 5 + ["joint"]

    source = copy_state(network())
    frozen = [same(body, body_of(source)) for body in watcher.bodies]
    assert frozen == [True] * 15 + [False] * 3
    still = [same(s, body_of(source, "statistics")) for s in watcher.statistics]
    assert still == [warmup == "frozen-stats" and step <= 15 for step in range(1, 19)]


@pytest.mark.parametrize(
    ("gained", "options", "end"),
    [(0, {"warmup_patience": 5}, 6), (3, {"warmup_gain": 0.5}, 15), (3, {}, None)],
)
def test_patience_and_gain_are_the_recipes(network, task, gained, options, end):
    start = network()
    scripted = Scripted(start, (50 + gained * i for i in range(20)), images=200)
    training, _ = run(start, task, steps=16, warmup="frozen-stats", evaluator=scripted, **options)
    assert training.history.warmup_end_step == end


def test_warm_up_is_feature_extraction_up_to_the_switch(network, task):
    warm, _ = run(network(), task, steps=15, warmup="frozen-stats")
    plain, _ = run(network(), task, steps=15, beta=0.0, body_mode="inference")
    assert same(copy_state(warm.network), copy_state(plain.network))
    assert warm.history.steps == plain.history.steps


def test_at_the_switch_the_heads_momentum_goes_on_and_the_bodys_starts(network, task):
    start = network()
    scripted = Scripted(start, [50] * 20, images=200)
    warm, _ = run(start, task, steps=15, warmup="frozen-stats", evaluator=scripted)
    head = warm.network.head.weight
    velocity = warm.optimiser.state[head]["momentum_buffer"].clone()
    moved = warm.network.body[0].weight
    assert moved not in warm.optimiser.state and warm.history.warmup_end_step == 15

    warm.recipe = warm.recipe.model_copy(update={"steps": 16})
    warm.optimiser.register_step_pre_hook(lambda *_: gradients.update(head=head.grad.clone()))
    gradients: dict = {}
    warm._update(16)
    expected = 0.9 * velocity + gradients["head"]
    assert torch.allclose(warm.optimiser.state[head]["momentum_buffer"], expected)
    assert moved in warm.optimiser.state


def test_no_graph_is_built_for_a_body_that_stays(network, task):
    start = network()
    built = []
    start.body.register_forward_hook(lambda _m, _i, output: built.append(output.requires_grad))
    scripted = Scripted(start, [50] * 20, images=200)
    run(start, task, steps=17, warmup="running-stats", evaluator=scripted)
    assert built == [False] * 15 + [True] * 2


# --- what is random ------------------------------------------------------------------------


def test_two_recipes_with_one_seed_see_the_same_batches(network, task):
    seen = []
    for recipe in (
        {"alpha": 0.1, "beta": 0.001},
        {"optimiser": "adam", "alpha": 0.01, "warmup": "frozen-stats", "weight_decay": 0.1},
    ):
        training, _ = run(network(), task, seed=3, **recipe)
        seen.append([training.feed.views(step) for step in range(1, 13)])
    assert all(map(torch.equal, *seen))


def test_two_seeds_see_other_batches(network, task):
    (one, _), (other, _) = (run(network(), task, seed=seed, steps=1) for seed in (0, 1))
    assert one.history.steps[1].loss != other.history.steps[1].loss


def test_dropout_is_a_function_of_seed_and_step(network, task):
    losses = []
    for noise in (0, 7):
        start = network()
        start.body.append(nn.Dropout(0.5))
        torch.manual_seed(noise)
        training, _ = run(start, task, steps=5)
        losses.append([row.loss for row in training.history.steps])
    assert losses[0] == losses[1]
    plain, _ = run(network(), task, steps=5)
    assert losses[0] != [row.loss for row in plain.history.steps]


# --- what goes wrong -----------------------------------------------------------------------


def poison(network, at_call):
    """Make the features of one forward pass infinite."""
    calls = iter(range(1, 10**6))

    def hook(_module, _inputs, features):
        return features * (float("inf") if next(calls) == at_call else 1.0)

    network.body.register_forward_hook(hook)
    return network


@pytest.mark.fault(23)
@pytest.mark.parametrize("prompt", [True, False])
def test_a_loss_that_is_not_finite_ends_the_run(network, task, prompt):
    """At once where that is free; where losses are fetched in blocks, with the same rows."""
    evaluator = Evaluator(network())
    training, states = run(poison(network(), 8), task, prompt=prompt, evaluator=evaluator)
    history = training.history
    assert history.diverged_step == 8
    assert [row.step for row in history.steps] == list(range(9))
    assert [row.diverged for row in history.steps] == [False] * 8 + [True]
    assert history.steps[8].loss is None
    assert history.steps[8].head_norm == history.steps[7].head_norm
    assert history.updates == 7
    assert [row.step for row in history.validations] == [1, 3, 6]
    best = history.best_step
    assert [row.step for row in history.deployments] == deployment_steps(12)
    assert history.deployments[-2:] == [(8, best), (12, best)]
    assert all(torch.isfinite(t).all() for state in states.values() for t in state.values())


@pytest.mark.fault(23)
def test_it_stops_before_the_update(network, task):
    expected, _ = run(network(), task, steps=7)
    training, _ = run(poison(network(), 8), task, evaluator=Evaluator(network()))
    end, wanted = copy_state(training.network), copy_state(expected.network)
    assert same(body_of(end), body_of(wanted))
    assert torch.equal(end["head.weight"], wanted["head.weight"])


@pytest.mark.fault(23)
@pytest.mark.parametrize("prompt", [True, False])
def test_diverged_before_any_validation_deploys_the_initial_state(network, task, prompt):
    evaluator = Evaluator(network())
    training, states = run(poison(network(), 1), task, prompt=prompt, evaluator=evaluator)
    assert training.history.diverged_step == 1
    assert {row.deployed_step for row in training.history.deployments} == {0}
    assert list(states) == [0] and not training.best
    assert len(training.history.deployments) == len(deployment_steps(12))


@pytest.mark.fault(23)
def test_a_validation_that_is_not_finite_is_no_candidate(network, task):
    start = network()
    scripted = Scripted(start, [3, 5, None], images=200)
    training, states = run(start, task, evaluator=scripted)
    assert training.history.diverged_step == 6
    assert training.history.steps[-1].diverged and training.history.updates == 5
    assert training.history.best_step == 3
    assert set(states) == {0, 1, 3}


@pytest.mark.fault(23)
def test_a_real_divergence(network, task):
    training, _ = run(network(), task, alpha=1e30, beta=1e30, steps=12)
    assert training.history.diverged_step is not None
    assert training.history.diverged_step <= 4


def overflow(network, at_call, value=float("inf")):
    """Make one element of one gradient infinite, under a loss that is finite."""
    calls = iter(range(1, 10**6))

    def hook(gradient):
        bad = torch.zeros_like(gradient)
        bad[0] = value if next(calls) == at_call else 0.0
        return gradient + bad

    norm = next(module for module in network.body.modules() if isinstance(module, nn.BatchNorm2d))
    norm.bias.register_hook(hook)
    return network


@pytest.mark.fault(23)
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("prompt", [True, False])
def test_a_gradient_that_is_not_finite_ends_the_run(network, task, prompt, value):
    """An infinite gradient makes a bias −∞, which is a dead unit: losses may stay finite."""
    training, states = run(overflow(network(), 8, value), task, prompt=prompt)
    history, (expected, _) = training.history, run(network(), task, steps=8)
    assert history.diverged_step == 8
    assert [row.diverged for row in history.steps] == [False] * 8 + [True]
    assert history.steps[:8] == expected.history.steps[:8]
    assert history.steps[8].loss == expected.history.steps[8].loss
    assert history.steps[8].head_norm == history.steps[7].head_norm
    assert history.updates == 7
    assert [row.step for row in history.validations] == [1, 3, 6]
    best = history.best_step
    assert history.deployments[-2:] == [(8, best), (12, best)]
    assert same(states[best], training.best)
    assert all(torch.isfinite(t).all() for state in states.values() for t in state.values())


@pytest.mark.fault(23)
def test_it_stops_before_the_update_of_such_a_gradient(network, task):
    expected, _ = run(network(), task, steps=7)
    training, _ = run(overflow(network(), 8), task)
    assert [row.step for row in training.history.dynamics][-1] < 8
    for ours, wanted in zip(
        training.network.parameters(), expected.network.parameters(), strict=True
    ):
        assert torch.equal(ours, wanted)


@pytest.mark.fault(23)
def test_running_statistics_that_are_not_finite_are_no_candidate(network, task):
    """A variance of ∞ gives a constant feature, and so a finite loss."""
    start, calls = network(), iter(range(1, 10**6))
    norms = [module for module in start.body.modules() if isinstance(module, nn.BatchNorm2d)]

    def hook(module, _inputs):
        if next(calls) == 5:
            module.running_var[0] = float("inf")

    norms[0].register_forward_pre_hook(hook)
    training, states = run(start, task)
    assert training.history.diverged_step == 6
    assert math.isfinite(training.history.steps[-1].loss)
    assert set(states) <= {0, 1, 3}
    assert all(torch.isfinite(t).all() for state in states.values() for t in state.values())


@pytest.mark.fault(22)
def test_a_single_image_is_refused(network, task):
    one = replace(task, train=Split(task.train.images[:1], task.train.labels[:1]))
    with pytest.raises(UserError, match="dataset digits: its training split is a single image"):
        run(network(), one, batches="shuffled")


@pytest.mark.fault(22)
def test_a_batch_that_cannot_be_balanced_is_refused(network, task):
    with pytest.raises(UserError, match="batch of 55 cannot hold the same number of each of 10"):
        run(network(), task, batch_size=55)


def test_a_class_without_training_images_is_named(network, task):
    keep = task.train.labels != 9
    train = Split(task.train.images[keep], task.train.labels[keep])
    with pytest.raises(UserError, match="class number 9 has none"):
        run(network(), replace(task, train=train))
