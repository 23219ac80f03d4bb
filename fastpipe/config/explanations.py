"""What a model refused, in the words of who wrote the file: key paths and messages."""

import difflib
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fastpipe.config.problems import nearest
from fastpipe.config.yaml_text import KeyPath

__all__ = ["BAD_NAME", "explain"]

Schema = dict[str, Any]

BAD_NAME = (
    "is not allowed as a name: at most 64 letters, digits, '.', '_' and '-', "
    "starting with a letter or digit and not ending in a dot"
)

_MESSAGES = {
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "too_short": "must not be empty",
}
_KINDS = {
    "boolean": "true or false",
    "number": "a number",
    "string": "text",
    "array": "a list of these",
    "object": "a mapping of names to these",
}


def explain(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[KeyPath, str]]:
    """Yield (key path below the model, message) of each thing wrong with an entry.

    Pydantic's locations also name members of unions; the paths given here hold only keys and
    indices, as written in the file.
    """
    whole = model.model_json_schema()
    told: set[KeyPath] = set()
    for detail in error.errors(include_url=False):
        if detail["type"] == "default_factory_not_called":
            continue  # a default that rests on another key, which is told of
        path, schema, union = _follow(whole, detail["loc"])
        if detail["type"] == "too_short" and detail["input"]:
            continue  # not empty: its parts are wrong, and told of
        if union is None:
            tag = ("kind",) if detail["type"] == "union_tag_invalid" else ()
            yield (*path, *tag), _message(detail, schema)
        elif path not in told:  # one message for all members of the union, which pydantic tries
            told.add(path)
            yield path, f"must be {_kinds(union)}; found {_shown(detail['input'])}"


def _message(detail: ErrorDetails, schema: Schema) -> str:
    value, context = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            hint = nearest(str(detail["loc"][-1]), schema.get("properties", {}))
            return f"unknown key; {hint}"
        case "missing":
            return "is missing"
        case "literal_error":
            names = [name.strip("' ") for name in re.split(",| or ", context["expected"])]
            return f"{_shown(value)} is not allowed; {nearest(str(value), names)}"
        case "union_tag_invalid":
            return f"{context['tag']!r} is not allowed; {nearest(context['tag'], _tags(schema))}"
        case "union_tag_not_found":
            return _without_tag(value, context["discriminator"].strip("'"), schema)
    if detail["loc"][-1:] == ("[key]",):
        return BAD_NAME
    plain = detail["msg"].replace("Input should be", "must be").removeprefix("Value error, ")
    message = _MESSAGES.get(detail["type"], plain[0].lower() + plain[1:])
    if detail["type"] == "string_type" and isinstance(value, int | float):
        message += " (put it in quotes)"
    return f"{message}; found {_shown(value)}"


def _without_tag(value: Any, tag: str, schema: Schema) -> str:
    valid = ", ".join(_tags(schema))
    near = difflib.get_close_matches(tag, list(value), n=1) if isinstance(value, dict) else []
    hint = f" (you wrote {near[0]!r})" if near else ""
    return f"{tag!r} is missing{hint}; valid: {valid}"


def _tags(schema: Schema) -> list[str]:
    return list(schema["discriminator"]["mapping"])


# --- following a location through the schema ----------------------------------------------------


def _follow(
    whole: Schema, location: tuple[int | str, ...]
) -> tuple[KeyPath, Schema, list[Schema] | None]:
    """Follow pydantic's location through a JSON schema.

    Returns:
        The keys and indices on the way; the schema in which the last key was looked up (or, for
        a union with a discriminator, that union's); the members of the undiscriminated union
        that the location enters, if there is one: the path then ends there.
    """
    path: list[int | str] = []
    schema = parent = _resolve(whole, whole)
    for part in location:
        if "discriminator" in schema:
            schema = parent = _resolve(schema["discriminator"]["mapping"].get(part, {}), whole)
            continue
        if "anyOf" in schema:
            return tuple(path), parent, schema["anyOf"]
        if part == "[key]":
            break
        path.append(part)
        parent, schema = schema, _child(schema, part, whole)
    is_union = "discriminator" in schema
    return tuple(path), schema if is_union else parent, None


def _child(schema: Schema, part: int | str, whole: Schema) -> Schema:
    if isinstance(part, int):
        return _resolve(schema.get("items", {}), whole)
    if part in schema.get("properties", {}):
        return _resolve(schema["properties"][part], whole)
    (pattern,) = schema.get("patternProperties", {"": schema.get("additionalProperties")}).values()
    return _resolve(pattern or {}, whole)


def _resolve(schema: Schema | str, whole: Schema) -> Schema:
    """A schema with references followed, `X | null` being X."""
    if isinstance(schema, str):
        schema = {"$ref": schema}
    if "$ref" in schema:
        return _resolve(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    members = [member for member in schema.get("anyOf", []) if member.get("type") != "null"]
    return _resolve(members[0], whole) if len(members) == 1 else schema


def _kinds(union: list[Schema]) -> str:
    kinds = [
        _KINDS[member["type"]]
        + (f" above {member['exclusiveMinimum']:g}" if "exclusiveMinimum" in member else "")
        for member in union
        if member.get("type") in _KINDS
    ]
    return ", ".join(kinds[:-1]) + f" or {kinds[-1]}"


def _shown(value: Any, limit: int = 80) -> str:
    value = list(value) if isinstance(value, tuple) else value  # as it was written
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
