import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fastpipe.config.config import SECTIONS
from fastpipe.config.load import yaml_files
from fastpipe.config.schema import schema, write_schema
from fastpipe.config.yaml_text import read_yaml

SHIPPED = Path(__file__).parents[2] / "config"


def test_the_committed_schema_is_in_step_with_the_models() -> None:
    committed = json.loads((SHIPPED / "schema.json").read_text())
    assert committed == schema(), "run `fastpipe schema` and commit config/schema.json"


def problems(data: object) -> list[str]:
    found = jsonschema.Draft202012Validator(schema()).iter_errors(data)
    return [error.message for error in found]


def test_it_is_a_json_schema() -> None:
    validator = jsonschema.Draft202012Validator
    assert list(validator(validator.META_SCHEMA).iter_errors(schema())) == []


@pytest.mark.parametrize("path", yaml_files(SHIPPED), ids=lambda path: path.name)
def test_the_shipped_files_follow_it(path: Path) -> None:
    assert problems(read_yaml(path).data) == []


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"recipes": {"fast": {"alpha": 1}}},
        {"datasets": {"mnist": {"test_per_class": 3}}},
        {"studies": {"demo": {"arms": {"fast": {"seeds": 3}}}}},
        {"settings": {"compute": {"threads": 2}}},
    ],
)
def test_a_file_may_change_a_part_of_an_entry(data: dict) -> None:
    assert problems(data) == []


@pytest.mark.parametrize(
    "data",
    [
        {"recipe": {}},
        {"recipes": {"fast": {"aplha": 1}}},
        {"recipes": {"fast": {"alpha": -1}}},
        {"recipes": {"a b": {}}},
        {"recipes": {"fast": {"optimiser": "sdg"}}},
        {"datasets": {"x": {"providers": [{"kind": "folder"}]}}},
        {"datasets": {"x": {"providers": [{"kind": "npm", "name": "x"}]}}},
        {"studies": {"demo": {"arms": {"fast": {"overrides": {"alpha": None}}}}}},
    ],
)
def test_it_refuses_what_the_loader_refuses(data: dict) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema())


def fields(part: Any, where: str = "") -> list[tuple[str, dict]]:
    """Every property in a schema, with where it stands."""
    if not isinstance(part, dict):
        return []
    own = [(f"{where}.{name}", field) for name, field in part.get("properties", {}).items()]
    return own + [found for key, value in part.items() for found in fields(value, f"{where}.{key}")]


def test_every_key_is_described() -> None:
    bare = [
        name for name, field in fields(schema()) if not ("description" in field or "$ref" in field)
    ]
    assert bare == []
    assert len(fields(schema())) > 60


def test_it_is_written_where_asked(tmp_path: Path) -> None:
    assert write_schema(tmp_path) == tmp_path / "schema.json"
    assert (
        json.loads((tmp_path / "schema.json").read_text())["properties"].keys() == SECTIONS.keys()
    )
