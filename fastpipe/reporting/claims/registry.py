"""All claims that a study may ask for: each module here that is named like one (`a7.py`)."""

import pkgutil
import re
from importlib import import_module

from fastpipe.reporting import claims  # all of it, so that editing a claim reruns reports
from fastpipe.reporting.claims.claim import Claim

__all__ = ["CLAIMS"]

_NAME = re.compile(r"([a-z])(\d+)")


def _order(name: str) -> tuple[str, int]:
    letter, number = _NAME.fullmatch(name).groups()
    return letter, int(number)


def _discover() -> dict[str, Claim]:
    """Claims by id, A2 before A10. Raises ValueError where file name and id differ."""
    names = [module.name for module in pkgutil.iter_modules(claims.__path__)]
    found = {}
    for name in sorted(filter(_NAME.fullmatch, names), key=_order):
        claim = import_module(f"{claims.__name__}.{name}").CLAIM
        if claim.id != name.upper():
            raise ValueError(
                f"claims/{name}.py declares {claim.id}; it must declare {name.upper()}"
            )
        found[claim.id] = claim
    return found


CLAIMS: dict[str, Claim] = _discover()
