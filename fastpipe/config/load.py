"""From YAML files to one validated configuration, or one error that lists every problem."""

import copy
import functools
import operator
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json

from fastpipe.config.checks import cross_check
from fastpipe.config.config import SECTIONS, Config
from fastpipe.config.explanations import BAD_NAME, explain
from fastpipe.config.model import Name
from fastpipe.config.problems import ConfigurationError, Place, Problem, nearest
from fastpipe.config.study import Study
from fastpipe.config.yaml_text import KeyPath, read_yaml

__all__ = ["load", "yaml_files"]

_NAME = TypeAdapter(Name)
Leaves = dict[KeyPath, tuple[Any, Place]]
"""Values that are no mappings, by key path, with their places."""


def yaml_files(folder: Path) -> list[Path]:
    """All `.yaml` files below a configuration folder, in the order in which they are merged."""
    return sorted(folder.rglob("*.yaml"))


def load(paths: Iterable[Path | Sequence[Path]]) -> Config:
    """Read, merge, validate and cross-check configuration files.

    Files are merged in the given order: mappings by key, anything else is replaced; a section
    without a value changes nothing. A sequence of paths is the files of one folder: none of them
    is there to override another, so one key with two values in them is a problem.

    Raises:
        ConfigurationError: with every problem found, each with file, line, key path, value and,
            for a name, the nearest valid one. Entries of a file that could not be read at all
            are not reported as missing.
    """
    files = _Files()
    for entry in paths:
        if isinstance(entry, Path):
            files.add(entry)
            continue
        beside: Leaves = {}
        for path in entry:
            files.add(path, beside)
    config = Config(**{name: _section(files, name, model) for name, model in SECTIONS.items()})
    broken = {problem.key[:2] for problem in files.problems if problem.key}
    if any(not problem.key for problem in files.problems):
        broken |= {(section,) for section in SECTIONS}  # what a whole file holds is not known
    for key, message in cross_check(config, broken):
        if not _follows_from(broken, key):
            files.problem(key, message)
    if files.problems:
        raise ConfigurationError(files.problems, config)
    return config


def _follows_from(broken: set[KeyPath], key: KeyPath) -> bool:
    """Whether a cross-check may only say again that something of a broken entry is not there."""
    return len(key) <= 2 and bool({key, key[:1]} & broken)


class _Files:
    """Merged data of configuration files, the place of every value, and all problems."""

    def __init__(self) -> None:
        self.sections: dict[str, Any] = {}
        self.places: dict[KeyPath, Place] = {}
        self.problems: list[Problem] = []

    def add(self, path: Path, beside: Leaves | None = None) -> None:
        """Merge a file over those before it.

        `beside` holds what the files before it in the same folder have set, and gets what it sets.
        """
        document = read_yaml(path)
        self.problems += document.problems
        self.places |= document.places
        if document.data is None:
            return
        if not isinstance(document.data, dict):
            message = f"must be a mapping with sections as keys; valid: {', '.join(SECTIONS)}"
            self.problem((), message)
            return
        for section in document.data.keys() - SECTIONS.keys():
            self.problem((section,), f"unknown section; {nearest(section, SECTIONS)}")
        known = {key: value for key, value in document.data.items() if key in SECTIONS}
        if beside is not None:
            self._refuse_set_twice(known, beside, document.places)
        _merge(self.sections, {key: value for key, value in known.items() if value is not None})

    def _refuse_set_twice(
        self, data: dict[str, Any], beside: Leaves, places: dict[KeyPath, Place]
    ) -> None:
        for key, value in _leaves(data, ()):
            other, place = beside.setdefault(key, (value, places[key]))
            if other != value:
                self.problem(key, f"set twice in one folder: {value!r} here, {other!r} in {place}")

    def problem(self, key: KeyPath, message: str) -> None:
        """Note a problem at the place of a key, or of the nearest one above it."""
        above = (key[:length] for length in range(len(key), -1, -1))
        place = next((self.places[key] for key in above if key in self.places), None)
        self.problems.append(Problem(place or Place(Path("configuration"), 0), key, message))


def _leaves(data: dict[str, Any], above: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Key path and value of everything below a mapping that is no mapping itself."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        elif value is not None:
            yield (*above, key), value


def _merge(base: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _section(files: _Files, section: str, model: type[BaseModel]) -> Any:
    entries = files.sections.get(section, {})
    if section == "settings":
        return _validate(files, (section,), model, entries) or model()
    if not isinstance(entries, dict):
        files.problem((section,), f"must be a mapping from names to entries, not {entries!r}")
        return {}
    valid = {}
    for name, entry in entries.items():
        try:
            _NAME.validate_python(name)
        except ValidationError:
            files.problem((section, name), BAD_NAME)
            continue
        checked = _validate(files, (section, name), model, entry)
        if checked is not None:
            valid[name] = checked
    return valid


def _validate(files: _Files, key: KeyPath, model: type[BaseModel], entry: Any) -> BaseModel | None:
    try:
        # JSON mode: lists may stand for tuples, nothing else is converted.
        return model.model_validate_json(to_json(entry, inf_nan_mode="constants"))
    except ValidationError as error:
        for below, message in explain(error, model):
            files.problem((*key, *below), message)
        return _without_unknown_keys(entry, error) if model is Study else None


def _without_unknown_keys(entry: Any, error: ValidationError) -> Study | None:
    """A study that is valid but for unknown keys, without them, so that the rest is checked."""
    entry = copy.deepcopy(entry)
    for detail in error.errors(include_url=False):
        if detail["type"] != "extra_forbidden":
            return None
        *above, key = detail["loc"]
        try:
            place = functools.reduce(operator.getitem, above, entry)
            del place[key]
        except (LookupError, TypeError):  # pydantic's path also names members of unions
            return None
    return Study.model_validate_json(to_json(entry, inf_nan_mode="constants"))
