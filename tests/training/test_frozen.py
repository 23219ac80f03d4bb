"""Cached features change nothing but the time: the same trajectory as computing them each step."""

import pytest
import torch

from fastpipe.config.recipe import Recipe
from fastpipe.data.augmentation import Augmentation
from fastpipe.evaluation.inference import Evaluator
from fastpipe.training import frozen
from fastpipe.training.frozen import FrozenFeatures
from fastpipe.training.loop import FineTuning, copy_state
from fastpipe.training.phases import starts_frozen

EXTRACTION = {"beta": 0.0, "body_mode": "inference"}


def run(network, task, *, remember=True, seed=0, cache=None, **recipe):
    recipe = Recipe(**({"steps": 60, "batch_size": 50, "alpha": 0.1, "beta": 0.05} | recipe))
    evaluator = Evaluator(network)
    cache = cache or FrozenFeatures(
        network,
        task.train,
        task.val,
        augmentation=augmentation(recipe),
        evaluator=evaluator,
        remember=remember,
    )
    training = FineTuning(network, recipe, task, seed, evaluator, cache)
    training.run(lambda step, state: None)
    return training


def augmentation(recipe):
    return Augmentation(recipe.flip, recipe.crop, recipe.colour_jitter)


def losses(training):
    return torch.tensor([row.loss for row in training.history.steps[1:]])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("options", [EXTRACTION, {"warmup": "frozen-stats"}])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_trajectory_is_that_of_the_uncached_run(network, task, options, flip, precision):
    cached, uncached = (
        run(network(precision=precision), task, remember=remember, flip=flip, **options)
        for remember in (True, False)
    )
    torch.testing.assert_close(losses(cached), losses(uncached), rtol=1e-4, atol=1e-4)
    assert cached.history.warmup_end_step == uncached.history.warmup_end_step
    steps = [row.correct for row in cached.history.validations]
    assert steps == [row.correct for row in uncached.history.validations]


def test_it_is_the_loop_on_the_live_body(network, task):
    """In fp32 a batch's cached features are those of the body itself, in inference mode."""
    net = network()
    training = run(net, task, flip=True, **EXTRACTION)
    for step in (1, 40):
        images, labels = training.feed.batch(step)
        with torch.no_grad():
            features = net.features(images)
        found, theirs = training._features(step)
        torch.testing.assert_close(found, features, rtol=1e-4, atol=1e-5)
        assert torch.equal(labels, theirs)


def test_crops_are_computed_at_each_step(network, task):
    """There is no end of views: the features are those of each step's own images."""
    training = run(network(), task, crop="resized", colour_jitter=0.3, **EXTRACTION)
    assert training._is_frozen and not training._frozen._remember
    for step in (1, 40):
        images, labels = training.feed.batch(step)
        with torch.no_grad():
            features = training.network.features(images)
        found, theirs = training._features(step)
        torch.testing.assert_close(found, features, rtol=1e-4, atol=1e-5)
        assert torch.equal(labels, theirs)
    plain = run(network(), task, **EXTRACTION)
    assert not torch.equal(losses(training), losses(plain))


def test_seeds_share_what_was_computed(network, task):
    net = network()
    evaluator = Evaluator(net)
    shared = FrozenFeatures(
        net, task.train, task.val, augmentation=Augmentation(True), evaluator=evaluator
    )
    start = copy_state(net)
    for seed in (0, 1):
        net.load_state_dict(start)
        alone = run(network(), task, seed=seed, flip=True, **EXTRACTION)
        together = run(net, task, seed=seed, flip=True, cache=shared, **EXTRACTION)
        assert torch.equal(losses(alone), losses(together))


def test_each_view_is_computed_once_and_only_if_needed(network, task, monkeypatch):
    monkeypatch.setattr(frozen, "_AHEAD_IMAGES", 100)
    net, passed = network(), []
    cache = FrozenFeatures(
        net,
        task.train,
        task.val,
        augmentation=Augmentation(True),
        evaluator=Evaluator(net),
        remember=True,
    )
    compute = cache._compute
    monkeypatch.setattr(cache, "_compute", lambda v: passed.append(v) or compute(v))
    training = run(net, task, cache=cache, steps=20, flip=True, **EXTRACTION)
    views = torch.cat(passed)
    assert len(views.unique()) == len(views)
    needed = torch.cat([training.feed.views(step) for step in range(1, 21)]).unique()
    assert set(needed.tolist()) <= set(views.tolist()) < set(range(2 * len(task.train)))


def test_too_many_features_are_computed_each_time(network, task, monkeypatch):
    monkeypatch.setattr(frozen, "_LARGEST_BYTES", 1000)
    net = network()
    cache = FrozenFeatures(
        net, task.train, task.val, augmentation=Augmentation(), evaluator=Evaluator(net)
    )
    assert not cache._remember
    assert run(net, task, cache=cache, **EXTRACTION).history.updates == 60


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (EXTRACTION, True),
        ({"warmup": "frozen-stats"}, True),
        ({"warmup": "running-stats"}, False),
        ({"warmup": "running-stats", "body_mode": "inference"}, True),
        ({"beta": 0.0}, False),  # BatchNorm's statistics move
        ({"body_mode": "inference"}, False),
        ({}, False),
    ],
)
def test_which_recipes_start_frozen(network, task, recipe, expected):
    assert starts_frozen(Recipe(**recipe)) is expected
    training = FineTuning(network(), Recipe(**recipe), task, 0)
    training._enter_phase()
    assert training._is_frozen is expected
