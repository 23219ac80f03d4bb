"""Named random streams: every random decision of the project is a function of its name.

A stream is named by what it decides and for what: `generator("flip", dataset, seed, step)`. Two
recipes that share dataset, seed and step therefore see the same batch and the same flips, whoever
asks first; and a resumed run needs no generator state, only the step it is at.
"""

import hashlib

import torch

from fastpipe.files import canonical_json

__all__ = ["generator"]


def generator(*name: str | int | float) -> torch.Generator:
    """A fresh CPU generator for the stream called `name`.

    Seeded with the first 64 bits of the SHA-256 of the name's canonical JSON, so that similar
    names give unrelated streams. Raises ValueError for an empty name, TypeError for a part that
    is no plain string or number (whose text could depend on its type).
    """
    if not name:
        raise ValueError("a random stream needs a name")
    for part in name:
        if type(part) not in (str, int, float):
            raise TypeError(f"{part!r} cannot be part of a stream's name: use str, int or float")
    seed = hashlib.sha256(canonical_json(name).encode()).digest()[:8]
    return torch.Generator().manual_seed(int.from_bytes(seed, "big", signed=True))
