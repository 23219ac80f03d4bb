"""Released weights: a state dict of torchvision's, timm's or anyone's as tensors of our networks.

A file is safetensors, or a pickle that torch reads as tensors and nothing else
(`weights_only=True`); no code in a file is ever run. Names may be those of the library's model, or
those that fastpipe itself writes (`body.*`, `head.*`). Old files of torchvision are understood: its
modules translate names by version, and those of DenseNets, which no module translates, are
translated here.
"""

import pickle
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fastpipe.config.backbone import Backbone
from fastpipe.config.backbone_names import OURS, is_timm
from fastpipe.data.streams import generator
from fastpipe.errors import UserError
from fastpipe.models.backbones import head_place, timm_model, torchvision_model
from fastpipe.models.blank import WithoutDrawing
from fastpipe.models.checkpoint import load_tensors
from fastpipe.models.network import build_network

__all__ = ["Normalisation", "read_state", "released_tensors"]

State = Mapping[str, Tensor]

_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Classifiers beside the last one, in GoogLeNet and Inception v3; they serve only training."""

_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of images in [0, 1] that weights expect, by channel."""

    mean: Sequence[float]
    std: Sequence[float]


# --- reading --------------------------------------------------------------------------------------


def read_state(path: Path) -> State:
    """The state dict in a file, also if it lies under `state_dict` or `model`.

    The prefix `module.`, which DataParallel puts before every name, is taken off.

    Raises:
        UserError: the file is missing, damaged, or holds anything but tensors there.
    """
    content = load_tensors(path) if path.suffix == ".safetensors" else _unpickled(path)
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise UserError(
            f"{path} holds no state dict but {_kind(content)}. Save model.state_dict() instead."
        )
    others = [f"{key!s} is {_entry(v)}" for key, v in content.items() if not _is_plain(key, v)]
    if others:
        raise UserError(
            f"{path} holds more than tensors by name: {_first(others)}. Save model.state_dict() "
            "alone."
        )
    return _without_module_prefix(content)


def _is_plain(key: Any, value: Any) -> bool:
    """Whether this is a name and numbers that can be copied into a network."""
    return (
        isinstance(key, str)
        and isinstance(value, Tensor)
        and (value.layout, value.device.type) == (torch.strided, "cpu")
        and not (value.is_complex() or value.is_quantized or value.is_nested)
    )


def _entry(value: Any) -> str:
    if not isinstance(value, Tensor):
        return _kind(value)
    return f"a Tensor of {value.layout}, {value.dtype} on {value.device}"


def _kind(value: Any) -> str:
    if isinstance(value, Mapping) and not value:
        return "an empty dict"
    return f"a {type(value).__name__}"


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read the weights {path}: {error.strerror or error}.") from None
    except Exception as error:  # of zip archives, of end of file, of what torch makes of garbage
        reason = str(error).partition("\n")[0]
        # torch's own words advise to run the code in the file.
        if isinstance(error, pickle.UnpicklingError) or "weights_only" in reason:
            raise UserError(
                f"{path} holds more than tensors, or is damaged; nothing in it was executed. Save "
                "model.state_dict() alone where you trust it, best as safetensors."
            ) from None
        raise UserError(
            f"{path} is no file of weights that torch can read ({type(error).__name__}: {reason}). "
            "Give a state dict written by torch.save, or a .safetensors file."
        ) from None


def _without_module_prefix(state: State) -> State:
    if not isinstance(getattr(state, "_metadata", None), Mapping | None):
        state = OrderedDict(state)  # which has none
    prefix = "module."
    if not all(name.startswith(prefix) for name in state):
        return state
    plain = OrderedDict((name.removeprefix(prefix), tensor) for name, tensor in state.items())
    metadata = getattr(state, "_metadata", None)  # versions of modules, by name
    if metadata is not None:
        plain._metadata = {name.removeprefix(prefix): entry for name, entry in metadata.items()}
    return plain


# --- fitting --------------------------------------------------------------------------------------


def released_tensors(
    backbone: Backbone, state: State, where: Path | str, normalisation: Normalisation
) -> dict[str, Tensor]:
    """Tensors of a whole network: normalise.*, body.*, head.*, as a snapshot holds them.

    Args:
        backbone: which network; the head has as many classes as that of the file.
        state: names as in the library's model, or as in a snapshot.
        where: where the state comes from, for messages.
        normalisation: what the weights expect of images.

    Raises:
        UserError: names or shapes are not those of the backbone, or a number is not finite; names
            file, backbone and up to three of each.
    """
    _require_finite(state, where)
    constants = {"mean": torch.tensor(normalisation.mean), "std": torch.tensor(normalisation.std)}
    tensors = {f"normalise.{name}": tensor.float() for name, tensor in constants.items()}
    if any(name.startswith("body.") for name in state) or backbone.name in OURS:
        channels = len(normalisation.mean)
        return _from_our_names(backbone, state, where, channels) | tensors
    model, place = _classifier(backbone.name)
    state = _present_names(backbone.name, state)
    _resize_head(model, place, state)
    _load(model, state, where, backbone.name)
    own = model.state_dict()
    head = {name: own.pop(name) for name in list(own) if name.startswith(f"{place}.")}
    tensors |= {f"body.{name}": tensor for name, tensor in own.items()}
    return tensors | {f"head{name.removeprefix(place)}": tensor for name, tensor in head.items()}


def _require_finite(state: State, where: Path | str) -> None:
    bad = [name for name, tensor in state.items() if not torch.isfinite(tensor.float()).all()]
    if bad:
        raise UserError(
            f"{where} holds numbers that are not finite in {len(bad)} of {len(state)} tensors: "
            f"{_first(bad)}. Whoever trained it had it diverge, or the file was made wrongly; get "
            "another one."
        )


def _classifier(name: str) -> tuple[nn.Module, str]:
    """The library's whole model, with numbers that mean nothing, and the name of its head."""
    with WithoutDrawing():
        model = timm_model(name) if is_timm(name) else torchvision_model(name)
    place = model.pretrained_cfg["classifier"] if is_timm(name) else head_place(model)
    if not isinstance(place, str) or not isinstance(model.get_submodule(place), nn.Linear):
        raise UserError(f"backbone {name!r} has not one linear head. Choose another one.")
    return model, place


def _present_names(name: str, state: State) -> State:
    """Names as the library's model has them today; auxiliary classifiers left out."""
    present: OrderedDict[str, Tensor] = OrderedDict()
    for key, tensor in state.items():
        if key.startswith(_AUXILIARY) and name in ("googlenet", "inception_v3"):
            continue
        old = _OLD_DENSENET.match(key) if name.startswith("densenet") else None
        present[old[1] + old[2] if old else key] = tensor
    present._metadata = getattr(state, "_metadata", None)
    return present


def _resize_head(model: nn.Module, place: str, state: State) -> None:
    """Give the model a head with as many classes as the file's."""
    weight, head = state.get(f"{place}.weight"), model.get_submodule(place)
    if weight is None or weight.ndim != 2 or len(weight) == head.out_features:
        return
    new = nn.utils.skip_init(nn.Linear, head.in_features, len(weight), head.bias is not None)
    parent, _, child = place.rpartition(".")
    setattr(model.get_submodule(parent), child, new)


def _load(model: nn.Module, state: State, where: Path | str, name: str) -> None:
    own = model.state_dict()
    different = [
        f"{key} (file {list(state[key].shape)}, network {list(own[key].shape)})"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    fitting = OrderedDict(
        (key, tensor)
        for key, tensor in state.items()
        if key not in own or tensor.shape == own[key].shape
    )
    # Without versions in the file, its names are taken to be today's.
    fitting._metadata = getattr(state, "_metadata", None) or own._metadata
    for key in own:  # older files do not count batches, and nothing of ours reads the count
        if key.endswith(".num_batches_tracked"):
            fitting.setdefault(key, torch.tensor(0))
    try:
        missing, unexpected = model.load_state_dict(fitting, strict=False)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{where} does not hold weights of {name}: {error}") from None
    missing = [key for key in missing if key not in state]
    _refuse(where, name, missing=missing, unexpected=unexpected, different=different)


def _from_our_names(
    backbone: Backbone, state: State, where: Path | str, channels: int
) -> dict[str, Tensor]:
    """body.* and head.* of a file in a snapshot's form."""
    head = state.get("head.weight")
    with WithoutDrawing():
        network = build_network(
            backbone,
            len(head) if head is not None and head.ndim == 2 else 2,
            channels=channels,
            mean=[0.0] * channels,
            std=[1.0] * channels,
            body_generator=generator("overwritten"),
            head_generator=generator("overwritten"),
            head_bias="head.bias" in state,
        )
    own = {key: t for key, t in network.state_dict().items() if not key.startswith("normalise.")}
    found = {key: t for key, t in state.items() if not key.startswith("normalise.")}
    _refuse(
        where,
        backbone.name,
        missing=[key for key in own if key not in found],
        unexpected=[key for key in found if key not in own],
        different=[
            f"{key} (file {list(found[key].shape)}, network {list(own[key].shape)})"
            for key in own
            if key in found and found[key].shape != own[key].shape
        ],
    )
    return {key: found[key].to(tensor.dtype) for key, tensor in own.items()}


def _refuse(where: Path | str, name: str, **problems: Sequence[str]) -> None:
    found = [f"{len(keys)} {kind}: {_first(keys)}" for kind, keys in problems.items() if keys]
    if found:
        raise UserError(
            f"{where} does not hold weights of {name}: {'; '.join(found)}. Name the backbone that "
            "it was saved from."
        )


def _first(items: Iterable[str]) -> str:
    items = list(items)
    return ", ".join(items[:3]) + (", …" if len(items) > 3 else "")
