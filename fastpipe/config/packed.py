"""What a packed study says of things that did not come along with it.

`results/packed.json` is there where a study was opened from a pack (:mod:`fastpipe.packing`).
It names the results that were left out, with their digests: they count as being there as long as
nothing that is to be done reads them. It also tells what was in folders of images and files of
weights that are not on this machine, so that what was made from them stays as it is.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from fastpipe.config.names import RESULTS
from fastpipe.errors import UserError
from fastpipe.files import read_json

__all__ = ["PACKED", "Packed"]

PACKED = RESULTS / "packed.json"


@dataclass(frozen=True)
class Packed:
    """The part of a pack's manifest that the plan and the audit need; empty without a pack.

    Attributes:
        left_out: path → SHA-256 digest of each result that was left out.
        listings: dataset → what lay in its folder (:mod:`fastpipe.config.listing`).
        contents: source → digest of its file of weights.
    """

    left_out: Mapping[str, str] = field(default_factory=dict)
    listings: Mapping[str, dict[str, str]] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, manifest: Path = PACKED) -> Self:
        """The manifest; default: of the working directory.

        Raises:
            UserError: it is there, but cannot be read.
        """
        if not manifest.exists():
            return cls()
        content = read_json(manifest)
        keys = ("left_out", "listings", "contents")
        if not isinstance(content, dict) or not all(_is_mapping(content, key) for key in keys):
            raise UserError(f"{manifest} is damaged. Open the packed study again.")
        return cls(**{key: content[key] for key in keys})

    def lacks(self, path: Path, digest: str) -> bool:
        """Whether a result with this digest was left out."""
        return self.left_out.get(str(path)) == digest

    @functools.cached_property
    def places(self) -> frozenset[str]:
        """Paths of what was left out, and of the folders in which it would lie."""
        above = (str(parent) for path in self.left_out for parent in Path(path).parents)
        return frozenset([*self.left_out, *above])


def _is_mapping(content: Mapping[str, Any], key: str) -> bool:
    return isinstance(content.get(key), dict)
