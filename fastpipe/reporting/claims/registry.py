"""All claims that a study may ask for: each module here that is named like one (`a7.py`)."""

import re
from importlib import import_module
from pathlib import Path

from fastpipe.reporting.claims.claim import Claim

__all__ = ["CLAIMS"]

_NAME = re.compile(r"([a-z])(\d+)")


def _order(name: str) -> tuple[str, int]:
    letter, number = _NAME.fullmatch(name).groups()
    return letter, int(number)


def _discover() -> dict[str, Claim]:
    """Claims by id, A2 before A10. Raises ValueError where file name and id differ."""
    stems = [path.stem for path in Path(__file__).parent.glob("*.py")]
    found = {}
    for name in sorted(filter(_NAME.fullmatch, stems), key=_order):
        claim = import_module(f"{__package__}.{name}").CLAIM
        if claim.id != name.upper():
            raise ValueError(
                f"claims/{name}.py declares {claim.id}; it must declare {name.upper()}"
            )
        found[claim.id] = claim
    return found


CLAIMS: dict[str, Claim] = _discover()
