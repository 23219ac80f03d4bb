"""Released weights: what is read from a file, and how it becomes a network of ours."""

import argparse
import json
from collections import OrderedDict

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from fastpipe.config.backbone import Backbone
from fastpipe.data.streams import generator
from fastpipe.errors import UserError
from fastpipe.models import hub
from fastpipe.models.blank import WithoutDrawing
from fastpipe.models.checkpoint import load_into
from fastpipe.models.network import build_network
from fastpipe.models.released import Normalisation, read_state, released_tensors

timm = pytest.importorskip("timm")

IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SMALL = "mobilenet_v3_small"


def network(name: str, classes: int, bias: bool = True):
    return build_network(
        Backbone(name=name),
        classes,
        channels=3,
        mean=[0.5] * 3,
        std=[0.5] * 3,
        body_generator=generator("body"),
        head_generator=generator("head"),
        head_bias=bias,
    )


def random_model(name: str, classes: int = 7) -> nn.Module:
    """A library's model with random weights, and random statistics of its BatchNorms."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        if name.startswith("timm/"):
            model = timm.create_model(name.removeprefix("timm/"), num_classes=classes)
        else:
            model = torchvision.models.get_model(name, num_classes=classes)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_var, 0.5, 2)
        head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        nn.init.normal_(head.weight)  # a ViT's head starts at 0
    return model.eval()


# --- fitting


@pytest.mark.parametrize(
    "name", ["resnet18", SMALL, "densenet121", "vit_b_32", "timm/resnet18", "timm/convnext_atto"]
)
def test_our_network_computes_what_the_librarys_model_does(name):
    model = random_model(name)
    tensors = released_tensors(Backbone(name=name), model.state_dict(), "here", IMAGENET)
    ours = network(name, classes=7)
    load_into(ours, tensors, "here")
    side = 224 if "vit" in name else 64
    images = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    mean, std = (torch.tensor(value)[:, None, None] for value in (IMAGENET.mean, IMAGENET.std))
    with torch.inference_mode():
        expected = model((images / 255 - mean) / std)
        error = (ours.eval()(images) - expected).abs().max()
    assert expected.std() > 0
    assert error < 1e-3 * expected.std()


def test_old_files_of_densenets_and_without_batch_counts_are_understood():
    model = random_model("densenet121")
    old = OrderedDict()
    for key, tensor in model.state_dict().items():
        for part in ("norm", "conv"):
            for digit in "12":
                if "denselayer" in key:
                    key = key.replace(f".{part}{digit}.", f".{part}.{digit}.")
        if not key.endswith("num_batches_tracked"):
            old[key] = tensor
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    new = released_tensors(Backbone(name="densenet121"), model.state_dict(), "here", IMAGENET)
    tensors = released_tensors(Backbone(name="densenet121"), old, "here", IMAGENET)
    assert tensors.keys() == new.keys()
    assert all(torch.equal(tensors[key], new[key]) for key in new)


def test_auxiliary_classifiers_of_a_file_are_left_out():
    model = torchvision.models.googlenet(num_classes=7, aux_logits=True, init_weights=False)
    assert any(key.startswith("aux1.") for key in model.state_dict())
    tensors = released_tensors(Backbone(name="googlenet"), model.state_dict(), "here", IMAGENET)
    load_into(network("googlenet", 7), tensors, "here")


def test_a_snapshots_own_file_can_be_released():
    ours = network("small-cnn", 4, bias=False)
    tensors = released_tensors(Backbone(), ours.state_dict(), "here", IMAGENET)
    assert tensors["normalise.std"].tolist() == pytest.approx(IMAGENET.std)
    same = [key for key in tensors if not key.startswith("normalise.")]
    assert all(torch.equal(tensors[key], ours.state_dict()[key]) for key in same)
    assert tensors.keys() == ours.state_dict().keys()


def resnet18():
    return dict(random_model("resnet18").state_dict())


def renamed():
    state = resnet18()
    return {f"x{i}" if i < 4 else key: state[key] for i, key in enumerate(state)}


def reshaped():
    return resnet18() | {"conv1.weight": torch.zeros(64, 1, 7, 7)}


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    ("state", "text"),
    [
        (renamed, "4 missing: conv1.weight, bn1.weight, bn1.bias, …; 4 unexpected: x0, x1, x2, …"),
        (
            reshaped,
            "1 different: conv1.weight (file [64, 1, 7, 7], network [64, 3, 7, 7])",
        ),
        (lambda: dict(random_model("resnet34").state_dict()), " unexpected: layer1.2.conv1.weight"),
        (lambda: {k: v for k, v in resnet18().items() if "fc" not in k}, "2 missing: fc.weight, "),
    ],
)
def test_another_architecture_is_told_with_file_backbone_and_keys(state, text):
    with pytest.raises(UserError) as caught:
        released_tensors(Backbone(name="resnet18"), state(), "my/file.pth", IMAGENET)
    assert str(caught.value).startswith("my/file.pth does not hold weights of resnet18: ")
    assert text in str(caught.value)


@pytest.mark.fault(27)
def test_our_own_form_is_checked_too():
    state = network("small-cnn", 4).state_dict() | {"body.9.weight": torch.zeros(1)}
    del state["head.weight"]
    with pytest.raises(UserError, match=r"of small-cnn: 1 missing: head.weight; 1 unexpected: bod"):
        released_tensors(Backbone(), state, "f", IMAGENET)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(value):
    state = dict(random_model(SMALL).state_dict())
    state["classifier.3.bias"] = torch.tensor([0.0, value] + [0.0] * 5)
    with pytest.raises(
        UserError, match=r"w\.pth .* not finite in 1 of \d+ tensors: classifier\.3\.b"
    ):
        released_tensors(Backbone(name=SMALL), state, "w.pth", IMAGENET)


def test_two_heads_are_refused():
    name = "timm/deit_tiny_distilled_patch16_224"
    with pytest.raises(UserError, match="has not one linear head"):
        released_tensors(Backbone(name=name), {}, "f", IMAGENET)


# --- reading


STATE = {"a.weight": torch.arange(4.0), "a.bias": torch.zeros(2)}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        OrderedDict(STATE),
        {"state_dict": STATE, "epoch": 3},
        {"model": STATE, "optimizer": {"lr": 0.1}},
        {f"module.{key}": tensor for key, tensor in STATE.items()},
        {"state_dict": {f"module.{key}": tensor for key, tensor in STATE.items()}},
    ],
)
def test_state_dicts_are_read_from_pickles(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    state = read_state(tmp_path / "w.pth")
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)


def test_state_dicts_are_read_from_safetensors(tmp_path):
    safetensors.torch.save_file(STATE, tmp_path / "w.safetensors")
    assert read_state(tmp_path / "w.safetensors").keys() == STATE.keys()


def test_versions_of_modules_survive_the_prefix(tmp_path):
    parallel = nn.DataParallel(random_model(SMALL))
    torch.save(parallel.state_dict(), tmp_path / "w.pth")
    state = read_state(tmp_path / "w.pth")
    assert state._metadata["features.0.1"] == {"version": 2}
    released_tensors(Backbone(name=SMALL), state, "w", IMAGENET)


class Evil:
    def __reduce__(self):
        return (print, ("run!",))


@pytest.mark.fault(28)
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (Evil(), "holds more than tensors, or is damaged; nothing in it was executed"),
        ({"state_dict": STATE, "args": argparse.Namespace(lr=1)}, "nothing in it was executed"),
        (nn.Linear(2, 2), "nothing in it was executed"),
        (
            {"a": torch.zeros(1), "b": 3, "c": "x"},
            "more than tensors by name: b is a int, c is a str. S",
        ),
        ([torch.zeros(1)], "holds no state dict but a list"),
        ({"state_dict": {}}, "holds no state dict but an empty dict"),
        (torch.zeros(3), "holds no state dict but a Tensor"),
    ],
)
def test_anything_but_tensors_is_refused_and_nothing_is_run(tmp_path, content, text, capsys):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth holds") as caught:
        read_state(tmp_path / "w.pth")
    assert text in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("w.pth", b"<!DOCTYPE html>", "w.pth "),
        ("w.pth", b"", "w.pth is no file of weights that torch can read"),
        ("w.safetensors", b"\x80\x02}q\x00.", "a Python pickle, which could run code"),
        ("w.safetensors", b"", "is not a whole safetensors file"),
    ],
)
def test_garbage_is_told(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_state(tmp_path / name)
    assert text in str(caught.value)


def test_a_truncated_and_a_missing_file_are_told(tmp_path):
    torch.save(STATE, tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:-40])
    with pytest.raises(UserError, match=r"w\.pth is no file of weights that torch can read"):
        read_state(tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"cannot read the weights .*none\.pth: No such file"):
        read_state(tmp_path / "none.pth")


# --- hubs


def test_normalisation_is_the_librarys_own():
    assert hub.default_normalisation("torchvision", "resnet18", "IMAGENET1K_V1") == IMAGENET
    assert hub.default_normalisation("torchvision", "vit_b_16", None) == IMAGENET
    assert hub.default_normalisation("timm", "timm/resnet18", None) == IMAGENET
    assert hub.default_normalisation("torchvision", "googlenet", None).mean == (0.5, 0.5, 0.5)


def test_half_stands_for_what_inception_does_to_its_images():
    """torchvision's own first lines, on ImageNet's constants, amount to mean and deviation 1/2."""
    model = torchvision.models.googlenet(init_weights=False, transform_input=True)
    images = torch.rand(2, 3, 4, 4)
    mean, std = (torch.tensor(value)[:, None, None] for value in (IMAGENET.mean, IMAGENET.std))
    transformed = model._transform_input((images - mean) / std)
    assert torch.allclose(transformed, (images - 0.5) / 0.5, atol=1e-5)


def test_unknown_weights_are_told_with_the_known_ones(tmp_path):
    with pytest.raises(UserError, match=r"no weights 'IMAGENET1K_V3' of resnet18. Did you mean"):
        hub.released_state("torchvision", "resnet18", "IMAGENET1K_V3", tmp_path)
    with pytest.raises(UserError, match=r"timm has no weights 'foo' of timm/resnet18.*a1_in1k"):
        hub.released_state("timm", "timm/resnet18", "foo", tmp_path)


def no_network(*arguments, **options):
    raise OSError("no route to host")


def test_without_network_the_error_says_what_to_fetch_and_how_to_name_it(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(UserError) as caught:
        hub.released_state("torchvision", "resnet18", "IMAGENET1K_V1", tmp_path)
    assert "cannot download torchvision's weights resnet18 IMAGENET1K_V1" in str(caught.value)
    assert "Fetch https://download.pytorch.org/models/resnet18-f37072fd.pth" in str(caught.value)
    assert "`library: torchvision`, `weights: PATH/TO/FILE`" in str(caught.value)
    assert list(tmp_path.glob("[!.]*")) == []
    create = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda *a, **o: no_network() if o["pretrained"] else create(*a, **o)
    )
    with pytest.raises(UserError, match=r"Fetch https://huggingface.co/timm/resnet18.a1_in1k"):
        hub.released_state("timm", "timm/resnet18", None, tmp_path)


def test_a_download_is_kept_and_its_hash_asked_for(tmp_path, monkeypatch):
    asked = []

    def download(url, to, hash_prefix, progress):
        asked.append((url.rpartition("/")[2], hash_prefix))
        torch.save(STATE, to)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        state, where = hub.released_state("torchvision", "resnet18", "IMAGENET1K_V1", tmp_path)
        assert state.keys() == STATE.keys()
    assert asked == [("resnet18-f37072fd.pth", "f37072fd")]
    assert where == "torchvision's resnet18 IMAGENET1K_V1"


# --- blank networks


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32", "swin_t", "inception_v3"])
def test_a_blank_model_differs_only_in_what_is_loaded(name):
    """Buffers that no state dict carries are computed all the same."""
    full = torchvision.models.get_model(name)
    with WithoutDrawing():
        blank = torchvision.models.get_model(name)
    kept = full.state_dict()
    buffers = {key: b for key, b in full.named_buffers() if key not in kept}
    for key, buffer in buffers.items():
        assert torch.equal(dict(blank.named_buffers())[key], buffer)
    blank.load_state_dict(kept)
    assert json.dumps(sorted(kept)) == json.dumps(sorted(blank.state_dict()))


def test_a_blank_model_draws_nothing():
    state = torch.random.get_rng_state()
    with WithoutDrawing():
        torchvision.models.vgg11()
    assert torch.equal(torch.random.get_rng_state(), state)
