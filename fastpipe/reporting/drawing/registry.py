"""All exhibits there are: whatever modules :mod:`fastpipe.reporting.exhibits` has."""

import importlib
import pkgutil
import re

from fastpipe.reporting import exhibits
from fastpipe.reporting.drawing.exhibit import Exhibit

__all__ = ["EXHIBITS"]


def _discover() -> dict[str, Exhibit]:
    found = [
        importlib.import_module(f"{exhibits.__name__}.{module.name}").EXHIBIT
        for module in pkgutil.iter_modules(exhibits.__path__)
    ]
    return {exhibit.id: exhibit for exhibit in sorted(found, key=_order)}


def _order(exhibit: Exhibit) -> tuple[bool, int, list[str | int]]:
    """General ones by their place, then those of papers by number."""
    parts = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", exhibit.id)]
    return exhibit.of_paper, exhibit.place, parts


EXHIBITS: dict[str, Exhibit] = _discover()
"""Exhibits by id, general ones first."""
