"""BatchNorm's momentum as the weight of the old running statistics."""

import pytest
import torch

from fastpipe.config.recipe import Recipe
from fastpipe.training.batchnorm import batchnorm_momentum
from fastpipe.training.loop import FineTuning


def norms(network):
    return [module for module in network.body if isinstance(module, torch.nn.BatchNorm2d)]


@pytest.mark.parametrize("momentum", [0.0, 0.25, 0.95, 1.0, None])
def test_running_statistics_keep_that_share_of_the_old(network, task, momentum):
    net, inputs = network(), []
    first = norms(net)[0]
    first.register_forward_pre_hook(lambda _m, given: inputs.append(given[0].detach()))
    before = first.running_mean.clone(), first.running_var.clone()
    recipe = Recipe(steps=1, batch_size=50, bn_momentum=momentum)
    FineTuning(net, recipe, task, 0).run(lambda step, state: None)
    kept, flat = 0.9 if momentum is None else momentum, inputs[0].transpose(0, 1).flatten(1)
    for ours, old, batch in zip(
        (first.running_mean, first.running_var), before, (flat.mean(1), flat.var(1)), strict=True
    ):
        torch.testing.assert_close(ours, kept * old + (1 - kept) * batch)


def test_the_networks_own_momentum_is_put_back(network, task):
    net = network()
    with pytest.raises(KeyboardInterrupt), batchnorm_momentum(net.body, 0.5):
        assert {norm.momentum for norm in norms(net)} == {0.5}
        raise KeyboardInterrupt
    assert {norm.momentum for norm in norms(net)} == {0.1}


def test_the_next_run_on_the_network_has_its_own_momentum(network, task):
    """The runs of a pack, and packs that follow one another, may share one network."""

    def statistics(*momenta):
        net = network()
        start = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        for momentum in momenta:
            net.load_state_dict(start)
            recipe = Recipe(steps=2, batch_size=50, bn_momentum=momentum)
            FineTuning(net, recipe, task, 0).run(lambda step, state: None)
        return norms(net)[0].running_mean

    assert torch.equal(statistics(0.3, None), statistics(None))
    assert not torch.equal(statistics(0.3), statistics(None))
