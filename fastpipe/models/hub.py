"""Weights and normalisation as the libraries publish them: torchvision's and timm's hubs."""

import contextlib
import difflib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from fastpipe.config.backbone_names import TIMM
from fastpipe.data.providers.downloads import downloaded
from fastpipe.errors import UserError
from fastpipe.models.backbones import timm_model
from fastpipe.models.released import Normalisation, State, read_state

__all__ = ["default_normalisation", "released_state"]

_PATIENCE_S = 60
_HALF = Normalisation((0.5,) * 3, (0.5,) * 3)


def released_state(
    library: str, backbone: str, weights: str | None, downloads: Path
) -> tuple[State, str]:
    """The state dict that a library publishes, downloaded once, and its name for messages.

    Args:
        library: `torchvision` or `timm`.
        backbone: name of the network.
        weights: name of the weights; default: the library's own choice.
        downloads: the downloads folder.

    Raises:
        UserError: there are no such weights, or they cannot be downloaded; says what to fetch.
    """
    if library == "timm":
        return _timm_state(backbone, weights, downloads)
    entry = _torchvision_weights(backbone, weights)
    where = f"{backbone} {entry.name}"
    file = entry.url.rpartition("/")[2]

    def fetch(folder: Path) -> None:
        stamp = re.search(r"-([0-9a-f]{8,})\.", file)  # torch's names end in their hash's beginning
        torch.hub.download_url_to_file(
            entry.url, str(folder / file), hash_prefix=stamp and stamp[1], progress=False
        )

    with _told(f"torchvision's weights {where}", entry.url, "torchvision"):
        folder = downloaded(downloads, f"torchvision-weights-{Path(file).stem}", fetch)
    return read_state(folder / file), f"torchvision's {where}"


def default_normalisation(library: str, backbone: str, weights: str | None) -> Normalisation:
    """What images a library's weights expect.

    torchvision's GoogLeNet and Inception take ImageNet's constants but change them to 1/2 in their
    first lines if built with weights. Our bodies are built without, so they get 1/2.
    """
    if library == "timm":
        config = _timm(backbone, weights, pretrained=False).pretrained_cfg
        return Normalisation(config["mean"], config["std"])
    if backbone in ("googlenet", "inception_v3"):
        return _HALF
    transforms = _torchvision_weights(backbone, weights).transforms()
    return Normalisation(tuple(transforms.mean), tuple(transforms.std))


def _torchvision_weights(backbone: str, name: str | None) -> Any:
    import torchvision

    known = torchvision.models.get_model_weights(backbone)
    if name is None:
        return known.DEFAULT
    if name not in known.__members__:
        close = difflib.get_close_matches(name, known.__members__, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UserError(
            f"torchvision has no weights {name!r} of {backbone}.{hint} There are: "
            f"{', '.join(known.__members__)}. A local file is told by its suffix, for example .pth."
        )
    return known[name]


def _timm_state(backbone: str, tag: str | None, downloads: Path) -> tuple[State, str]:
    config = _timm(backbone, tag, pretrained=False).pretrained_cfg
    name = f"{backbone}{f'.{tag}' if tag else ''}"
    source = config.get("hf_hub_id") or config.get("url") or "timm's own pages"
    with _told(f"timm's weights {name}", f"https://huggingface.co/{source}", "timm"):
        model = _timm(backbone, tag, pretrained=True, cache_dir=str(downloads / "timm"))
    return model.state_dict(), f"timm's {name}"


def _timm(backbone: str, tag: str | None, **options: Any) -> Any:
    full = f"{backbone}.{tag}" if tag else backbone
    try:
        return timm_model(full, **options)
    except RuntimeError as error:
        if "tag" not in str(error):
            raise
        import timm

        model = backbone.removeprefix(TIMM)
        tags = [found.partition(".")[2] for found in timm.list_pretrained(f"{model}.*")]
        raise UserError(
            f"timm has no weights {tag!r} of {backbone}. There are: {', '.join(tags) or 'none'}. "
            "A local file is told by its suffix, for example .safetensors."
        ) from None


@contextlib.contextmanager
def _told(what: str, address: str, library: str) -> Iterator[None]:
    """A failed download says what to fetch and how to name it; a silent server is given up on."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # urllib, httpx and the hubs each raise their own
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".rstrip(".")
        raise UserError(
            f"cannot download {what} ({reason}). Fetch {address} where there is a network, and "
            f"name the file in the source: `library: {library}`, `weights: PATH/TO/FILE`."
        ) from None
    finally:
        socket.setdefaulttimeout(before)
