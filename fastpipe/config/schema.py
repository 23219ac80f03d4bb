"""The JSON schema of configuration files, generated from the models."""

from pathlib import Path
from typing import Any

from pydantic import Field, create_model

from fastpipe.config.config import SECTIONS
from fastpipe.config.model import Model, Name
from fastpipe.config.settings import Settings
from fastpipe.files import write_json

__all__ = ["FILE_NAME", "schema", "write_schema"]

FILE_NAME = "schema.json"


def schema() -> dict[str, Any]:
    """JSON schema of one configuration file.

    Nothing is required of a mapping, as a file may override a part of another file's. Only
    providers are complete: they stand in a list, which is replaced as a whole.
    """
    fields: dict[str, Any] = {
        section: _section(section, model) for section, model in SECTIONS.items()
    }
    whole = create_model("Configuration", __base__=Model, **fields).model_json_schema()
    for part in whole["$defs"].values():
        if "kind" not in part["properties"]:
            part.pop("required", None)
    for part in (whole, *whole["$defs"].values()):
        for field in part["properties"].values():
            if "patternProperties" in field:  # of which pydantic does not say that they are all
                field["additionalProperties"] = False
    return whole | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fastpipe configuration",
    }


def _section(section: str, model: type[Model]) -> tuple[Any, Any]:
    if section == "settings":
        return Settings, Field(default_factory=Settings)
    what = (model.__doc__ or "").partition("\n")[0]
    return dict[Name, model], Field(default_factory=dict, description=f"By name: {what}")


def write_schema(folder: Path) -> Path:
    """Write the schema into a folder; returns the file."""
    path = folder / FILE_NAME
    write_json(path, schema())
    return path
