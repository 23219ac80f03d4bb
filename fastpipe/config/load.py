"""From YAML files to one validated configuration, or one error that lists every problem."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_json

from fastpipe.config.checks import cross_check
from fastpipe.config.config import SECTIONS, Config
from fastpipe.config.model import Name
from fastpipe.config.problems import ConfigurationError, Place, Problem, nearest
from fastpipe.config.yaml_text import KeyPath, read_yaml

__all__ = ["load", "yaml_files"]

_NAME = TypeAdapter(Name)


def yaml_files(folder: Path) -> list[Path]:
    """All `.yaml` files below a configuration folder, in the order in which they are merged."""
    return sorted(folder.rglob("*.yaml"))


def load(paths: Iterable[Path]) -> Config:
    """Read, merge, validate and cross-check configuration files.

    Files are merged in the given order: mappings by key, anything else is replaced.

    Raises:
        ConfigurationError: with every problem found, each with file, line, key path, value and,
            for a name, the nearest valid one.
    """
    data, places, problems = _merge_files(paths)
    sections: dict[str, Any] = {}
    for key in data:
        if key not in SECTIONS:
            where = _place(places, (key,))
            problems.append(Problem(where, (key,), f"unknown section; {nearest(key, SECTIONS)}"))
    for section, model in SECTIONS.items():
        entries = data.get(section) or {}
        sections[section] = _validate_section(section, model, entries, places, problems)
    config = Config(**sections)
    broken = {problem.key[:2] for problem in problems}
    for key, message in cross_check(config, broken):
        problems.append(Problem(_place(places, key), key, message))
    if problems:
        raise ConfigurationError(problems)
    return config


def _merge_files(paths: Iterable[Path]) -> tuple[dict, dict[KeyPath, Place], list[Problem]]:
    data: dict[str, Any] = {}
    places: dict[KeyPath, Place] = {}
    problems: list[Problem] = []
    for path in paths:
        document = read_yaml(path)
        problems += document.problems
        if document.data and not isinstance(document.data, dict):
            problems.append(Problem(Place(path, 1), (), "must be a mapping with sections as keys"))
        elif document.data:
            _merge(data, document.data)
            places |= document.places
    return data, places, problems


def _merge(base: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _validate_section(
    section: str,
    model: type[BaseModel],
    entries: Any,
    places: dict[KeyPath, Place],
    problems: list[Problem],
) -> Any:
    if section == "settings":
        return _validate(model, entries, (section,), places, problems) or model()
    if not isinstance(entries, dict):
        key = (section,)
        message = f"must be a mapping from names to entries, not {entries!r}"
        problems.append(Problem(_place(places, key), key, message))
        return {}
    valid = {}
    for name, entry in entries.items():
        key = (section, name)
        try:
            _NAME.validate_python(name)
        except ValidationError:
            message = (
                f"the name {name!r} is not allowed: at most 64 letters, digits, '.', '_' and '-', "
                "starting with a letter or digit and not ending in a dot"
            )
            problems.append(Problem(_place(places, key), key, message))
        checked = _validate(model, entry, key, places, problems)
        if checked is not None:
            valid[name] = checked
    return valid


def _validate(
    model: type[BaseModel],
    entry: Any,
    key: KeyPath,
    places: dict[KeyPath, Place],
    problems: list[Problem],
) -> BaseModel | None:
    try:
        # JSON mode: lists may stand for tuples, nothing else is converted.
        return model.model_validate_json(to_json(entry, inf_nan_mode="constants"))
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            path = (*key, *_user_path(detail["loc"], entry))
            problems.append(Problem(_place(places, path), path, _explain(detail, model)))
        return None


def _user_path(loc: tuple[int | str, ...], entry: Any) -> KeyPath:
    """Drop from pydantic's location the parts that name a union's member, not a key."""
    path: list[int | str] = []
    for part in loc:
        known = isinstance(entry, dict) and part in entry
        known |= isinstance(entry, list) and isinstance(part, int) and part < len(entry)
        if known:
            path.append(part)
            entry = entry[part]
        elif part == loc[-1] and isinstance(entry, dict):
            path.append(part)
    return tuple(path)


def _explain(detail: ErrorDetails, model: type[BaseModel]) -> str:
    value = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            key = str(detail["loc"][-1])
            return f"unknown key; {nearest(key, _siblings(model, detail['loc']))}"
        case "missing":
            return "is missing"
        case "literal_error" | "union_tag_invalid":
            expected = detail.get("ctx", {}).get("expected") or detail["ctx"]["expected_tags"]
            names = [name.strip("' ") for name in expected.replace(" or ", ",").split(",")]
            return f"{value!r} is not one of them; {nearest(str(value), names)}"
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{message}; found {_short(value)}"


def _siblings(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Field names at the place of an unknown key: of the model itself or of any model below."""
    schema = model.model_json_schema()
    models = [schema, *schema.get("$defs", {}).values()]
    names = {str(part) for part in loc[:-1]}
    if not names:
        return list(schema["properties"])
    return sorted({field for part in models for field in part.get("properties", {})})


def _short(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _place(places: dict[KeyPath, Place], key: KeyPath) -> Place:
    """The place of a key, or of the nearest one above it that was written."""
    for length in range(len(key), -1, -1):
        if key[:length] in places:
            return places[key[:length]]
    return Place(Path("configuration"), 0)
