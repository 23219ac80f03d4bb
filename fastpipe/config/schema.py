"""The JSON schema of configuration files, generated from the models."""

from pathlib import Path
from typing import Any

from pydantic import create_model

from fastpipe.config.config import SECTIONS
from fastpipe.config.model import Model
from fastpipe.config.settings import Settings
from fastpipe.files import write_json

__all__ = ["FILE_NAME", "schema", "write_schema"]

FILE_NAME = "schema.json"


def schema() -> dict[str, Any]:
    """JSON schema of one configuration file; every key is optional, as files override each other."""
    fields: dict[str, Any] = {
        section: (dict[str, model] if section != "settings" else Settings, None)
        for section, model in SECTIONS.items()
    }
    whole = create_model("Configuration", __base__=Model, **fields).model_json_schema()
    for part in whole["$defs"].values():
        # An entry may override another file's and then need not be complete.
        if part.get("title") in {model.__name__ for model in SECTIONS.values()}:
            part.pop("required", None)
    return whole | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fastpipe configuration",
    }


def write_schema(folder: Path) -> Path:
    """Write the schema into a folder; returns the file."""
    path = folder / FILE_NAME
    write_json(path, schema())
    return path
