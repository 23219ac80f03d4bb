"""Networks and other tensors in safetensors files; never in pickles."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from fastpipe.crash import crash_point
from fastpipe.errors import UserError
from fastpipe.files import canonical_json, writing

__all__ = ["load_into", "load_tensors", "save_tensors"]


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors, from any device and in any memory format, to a safetensors file.

    The same tensors and metadata always give the same bytes. The write is not atomic: a stage
    writes into its work folder.

    Raises:
        UserError: no space is left on the device.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One entry, because safetensors writes several in a random order.
    header = {"fastpipe": canonical_json(dict(metadata))} if metadata else None
    path.parent.mkdir(parents=True, exist_ok=True)
    crash_point("tensors-before")
    needed = sum(tensor.nbytes for tensor in plain.values())
    with writing(path, needed):
        try:
            safetensors.torch.save_file(plain, path, metadata=header)
        except SafetensorError as error:
            code = re.search(r"os error (\d+)", str(error))  # safetensors hides the OSError
            raise OSError(int(code[1]), str(error), str(path)) if code else error from error
    crash_point("tensors-after")


def load_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU.

    The content decides, not the suffix; a pickle is never executed.

    Raises:
        UserError: the file is missing, a pickle, of another format, truncated or damaged.
    """
    _refuse_other_formats(path)
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({error}). If fastpipe wrote it, delete it "
            "and run snakemake again to rebuild it."
        ) from None


_SIGNATURES = {
    b"PK\x03\x04": "a zip archive, as torch.save writes it (a pickle)",
    b"\x80": "a Python pickle",
    b"\x93NUMPY": "a NumPy array file",
    b"\x89HDF": "an HDF5 file",
}


def _refuse_other_formats(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UserError(f"cannot read the checkpoint {path}: {error.strerror}.") from None
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature) and not _is_header_length(start, path):
            raise UserError(
                f"{path} is {kind}, which could run code when opened; it was not opened. Convert "
                "it to safetensors where you trust it (safetensors.torch.save_file)."
            )


def _is_header_length(start: bytes, path: Path) -> bool:
    """A safetensors file starts with the length of its header, which can begin with any byte."""
    return len(start) == 8 and int.from_bytes(start, "little") <= path.stat().st_size - 8


def load_into(
    module: nn.Module, tensors: Mapping[str, Tensor], path: Path, *, prefix: str = ""
) -> None:
    """Copy into all parameters and buffers of `module` the tensors named `prefix` + their name.

    Device and memory format stay the module's own; tensors with other prefixes are ignored.

    Raises:
        UserError: names, shapes or types differ; up to three of each are listed. Nothing has
            been copied then.
    """
    own = module.state_dict()
    found = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    problems = [
        _listing("missing", [prefix + name for name in own if name not in found]),
        _listing("unexpected", [prefix + name for name in found if name not in own]),
        _listing(
            "different",
            [
                f"{prefix}{name} (file {_describe(found[name])}, network {_describe(own[name])})"
                for name in own
                if name in found and _describe(found[name]) != _describe(own[name])
            ],
        ),
    ]
    if any(problems):
        raise UserError(
            f"{path} is the checkpoint of another backbone or number of classes: "
            f"{'; '.join(filter(None, problems))}. Use the backbone it was saved from."
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(found[name])


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _listing(kind: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = ", …" if len(names) > 3 else ""
    return f"{len(names)} {kind}: {', '.join(names[:3])}{more}"
