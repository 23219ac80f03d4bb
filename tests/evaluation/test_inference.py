"""The evaluator against a literal evaluation with torch, and what it must leave alone."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fastpipe.config.backbone import Backbone
from fastpipe.data.arrays import Split
from fastpipe.data.streams import generator
from fastpipe.evaluation.inference import Evaluator, _rank, images_per_batch
from fastpipe.models.network import build_network, with_head


def make_network(classes=10, name="small-cnn", channels=3, precision="fp32", bias=False):
    network = build_network(
        Backbone(name=name, widths=(8, 16)),
        classes,
        channels=channels,
        mean=[0.4] * channels,
        std=[0.25] * channels,
        body_generator=generator("body"),
        head_generator=generator("head"),
        head_bias=bias,
        precision=precision,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.3)
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 2)
        if bias:
            nn.init.normal_(network.head.bias)
    return network


def make_split(n=230, classes=10, channels=3, size=12):
    random = generator("images", n)
    images = torch.randint(
        256, (n, size, size, channels), dtype=torch.uint8, generator=random
    ).permute(0, 3, 1, 2)
    return Split(images, torch.randint(classes, (n,), generator=random))


def literal_logits(network, split):
    """One image at a time, in eval mode, fp32 and plain NCHW."""
    network.eval()
    with torch.no_grad():
        rows = [network(image[None].contiguous()) for image in split.images]
    network.train()
    return torch.cat(rows)


def literal_score(logits, labels):
    """Loss and top-k by sorting."""
    loss = nn.functional.cross_entropy(logits.double(), labels).item()
    order = logits.argsort(dim=1, descending=True, stable=True)
    hits = order == labels[:, None]
    return loss, hits[:, :1].sum().item(), hits[:, :5].sum().item()


@pytest.mark.parametrize("name", ["small-cnn", "mnasnet0_5"])
def test_scores_are_those_of_a_plain_loop(name):
    network, split = make_network(name=name, bias=True), make_split(n=60, size=32)
    loss, first, fifth = literal_score(literal_logits(network, split), split.labels)
    score = Evaluator(network, batch_size=17).score(split)
    assert score.loss == pytest.approx(loss, rel=1e-5)
    assert (score.correct, score.images) == (first, 60)
    assert score.top1 == first / 60
    assert score.top5 == fifth / 60


def test_predictions_are_those_that_top1_counts():
    network, split = make_network(bias=True), make_split(n=60)
    evaluator = Evaluator(network)
    features = evaluator.features(split)
    weight = network.head.weight.detach().clone()
    weight[4], bias = weight[7], network.head.bias.detach().clone()
    bias[[4, 7]] = 10.0  # two classes share the first place everywhere
    assert set(evaluator.predict_head(features, weight, bias).tolist()) == {4}
    weight[1] = float("nan")
    assert set(evaluator.predict_head(features, weight, bias).tolist()) == {-1}
    predicted = evaluator.predict_head(features, network.head.weight, network.head.bias)
    expected = literal_logits(network, split).argmax(1)
    assert torch.equal(predicted, expected) and len(set(predicted.tolist())) > 1
    score = evaluator.score(split)
    assert (predicted == split.labels).sum() == score.correct


@pytest.mark.fault(22)
@pytest.mark.parametrize("batch_size", [1, 7, 100, 229, 230, 1000, None])
def test_batch_size_does_not_matter(batch_size):
    network, split = make_network(), make_split()
    whole, cut = (Evaluator(network, batch_size=b).score(split) for b in (230, batch_size))
    assert (cut.correct, cut.top1, cut.top5) == (whole.correct, whole.top1, whole.top5)
    assert cut.loss == pytest.approx(whole.loss, rel=1e-6)


def test_features_come_in_the_order_of_the_images():
    network, split = make_network(), make_split()
    features = Evaluator(network, batch_size=50).features(split)
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(features, network.features(split.images), rtol=1e-4, atol=1e-4)
    assert features.dtype == torch.float32 and features.shape == (230, 16)
    assert not features.is_inference()  # a head may be trained on them


def test_bf16_is_near_fp32():
    """bf16 keeps 8 bits, so features agree to about 2⁻⁷ of their size after a few layers."""
    network, split = make_network(), make_split()
    exact = Evaluator(network).features(split)
    rough = Evaluator(network, precision="bf16").features(split)
    assert rough.dtype == torch.float32
    difference = (rough - exact).norm() / exact.norm()
    assert 0 < difference < 2**-6


def test_bf16_features_do_not_depend_on_the_batch_size_beyond_the_last_bit():
    network, split = make_network(precision="bf16"), make_split()
    whole, cut = (Evaluator(network, batch_size=b).features(split) for b in (230, 33))
    torch.testing.assert_close(cut, whole, rtol=2**-7, atol=2**-7 * whole.abs().max().item())


def test_the_live_network_is_left_alone():
    network, split = make_network(name="alexnet"), make_split(n=20, size=64)
    network.body.features.eval()  # a mixed mode, as in warm-up
    modes = [module.training for module in network.modules()]
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random = torch.get_rng_state()
    evaluator = Evaluator(network)
    evaluator.score(split)
    evaluator.refresh(network)
    evaluator.features(split)
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


def test_refresh_follows_training():
    network, split = make_network(), make_split()
    evaluator = Evaluator(network)
    before = evaluator.score(split)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(split.images), split.labels).backward()
        optimiser.step()
    assert evaluator.score(split) == before  # a copy until it is refreshed
    evaluator.refresh(network)
    assert evaluator.score(split) == Evaluator(network).score(split) != before


def test_refresh_takes_another_head():
    network, split = make_network(), make_split(classes=3)
    evaluator = Evaluator(network)
    other = with_head(network, nn.Linear(16, 3))
    evaluator.refresh(other)
    assert evaluator.score(split) == Evaluator(other).score(split)


@pytest.mark.parametrize("bias", [False, True])
def test_scoring_a_head_on_features_is_scoring_its_network(bias):
    network, split = make_network(), make_split()
    evaluator = Evaluator(network, batch_size=64)
    head = nn.Linear(16, 10, bias=bias)
    score = evaluator.score_head(evaluator.features(split), head.weight, head.bias, split.labels)
    direct = Evaluator(with_head(network, head)).score(split)
    assert score[1:] == direct[1:]
    assert score.loss == pytest.approx(direct.loss, rel=1e-6)


@pytest.mark.parametrize(("classes", "scored"), [(2, False), (5, False), (6, True)])
def test_top5_needs_more_than_five_classes(classes, scored):
    score = Evaluator(make_network(classes)).score(make_split(classes=classes))
    assert (score.top5 is not None) is scored


def test_equal_logits_are_ranked_by_class():
    """A zero head gives ln N and finds the images of class 0, of classes 0–4 for top-5."""
    network, split = make_network(), make_split()
    nn.init.zeros_(network.head.weight)
    score = Evaluator(network).score(split)
    assert score.loss == pytest.approx(math.log(10), rel=1e-6)
    assert score.correct == (split.labels == 0).sum()
    assert score.top5 == (split.labels < 5).sum() / 230


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=2, max_size=9), st.integers(0, 8))
def test_rank_is_the_place_in_a_stable_sort(values, label):
    label %= len(values)
    logits, labels = torch.tensor(values)[:, None], torch.tensor([label])
    place = logits[:, 0].argsort(descending=True, stable=True).tolist().index(label)
    assert _rank(logits, logits[label], labels).item() == place


def test_many_classes_are_scored_in_parts(monkeypatch):
    network, split = make_network(), make_split()
    whole = Evaluator(network).score(split)
    monkeypatch.setattr("fastpipe.evaluation.inference._LOGITS_AT_ONCE", 370)
    parts = Evaluator(network).score(split)
    assert parts[1:] == whole[1:]
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)


def test_a_label_without_a_class_is_refused():
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        Evaluator(make_network(classes=9)).score(make_split(classes=10))


def test_logits_that_are_not_numbers_never_score():
    network, split = make_network(), make_split()
    nn.init.constant_(network.head.weight, math.nan)
    score = Evaluator(network).score(split)
    assert score.correct == 0 and score.top5 == 0 and math.isnan(score.loss)


def test_batches_are_larger_for_smaller_images_and_larger_devices():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert images_per_batch((28, 28), cpu) == 2**19 // 784
    assert images_per_batch((2000, 2000), cpu) >= 1
    assert images_per_batch((224, 224), cpu) < images_per_batch((64, 64), cpu)
    assert images_per_batch((28, 28), cuda) > images_per_batch((28, 28), cpu)


def test_a_split_without_images_is_refused():
    with pytest.raises(ValueError, match="no images to score"):
        Evaluator(make_network()).score(make_split(n=0))


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        Evaluator(make_network(), batch_size=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_scores_what_the_cpu_scores():
    network, split = make_network(), make_split()
    exact = Evaluator(network).score(split)
    network.cuda()
    for held in (split, split.to("cuda", 2**30)):
        score = Evaluator(network, precision="fp32").score(held)
        assert abs(score.correct - exact.correct) <= 1
        assert score.loss == pytest.approx(exact.loss, rel=1e-3)
