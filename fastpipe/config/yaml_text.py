"""The one way YAML is read: YAML 1.2, safe, every value with its file, line and column.

`1e-3` is a number, `no` a string, `010` ten; a duplicate key, a merge key, a tag or another
version of YAML is an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.events import DocumentStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from fastpipe.config.problems import Place, Problem

__all__ = ["Document", "KeyPath", "read_yaml"]

KeyPath = tuple[str | int, ...]

_CORE = "tag:yaml.org,2002:"
_SCALARS = {_CORE + kind for kind in ("str", "int", "float", "bool", "null", "timestamp")}
_MOST_VALUES = 100_000
"""More values than that in one file are aliases of aliases, not something a person wrote."""


@dataclass
class Document:
    """A YAML file as plain data, the place of every value, and what was wrong with it."""

    data: Any
    places: dict[KeyPath, Place]
    problems: list[Problem]


def read_yaml(path: Path) -> Document:
    """Read one YAML file; nothing is raised, all problems are listed in the document.

    The data of an empty file are None.
    """
    document = Document(None, {}, [])
    try:
        _read(path, document)
    except OSError as error:
        _whole_file(document, path, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        _whole_file(document, path, f"is not UTF-8 text: {error.reason} at byte {error.start}")
    except _TooManyValuesError:
        _whole_file(document, path, f"has more than {_MOST_VALUES:,} values, counting aliases")
    except RecursionError:
        _whole_file(document, path, "is nested too deeply")
    except MarkedYAMLError as error:
        place = _place(path, error.problem_mark) if error.problem_mark else Place(path, 0)
        document.problems.append(Problem(place, (), f"is not valid YAML: {error.problem}"))
    except YAMLError as error:
        _whole_file(document, path, f"is not valid YAML: {' '.join(str(error).split())}")
    return document


def _read(path: Path, document: Document) -> None:
    text = path.read_text(encoding="utf-8")
    events = YAML(typ="safe", pure=True).parse(text)
    start = next((event for event in events if isinstance(event, DocumentStartEvent)), None)
    if start and start.version not in (None, (1, 2)):
        message = "is YAML {}.{}; only YAML 1.2 is read".format(*start.version)
        document.problems.append(Problem(_place(path, start.start_mark), (), message))
        return
    yaml = YAML(typ="safe", pure=True)
    node = yaml.compose(text)
    if node is not None:
        document.data = _Reader(path, yaml, document).value(node, ())


def _whole_file(document: Document, path: Path, message: str) -> None:
    document.problems.append(Problem(Place(path, 0), (), message))


def _place(path: Path, mark: StringMark) -> Place:
    return Place(path, mark.line + 1, mark.column + 1)


class _TooManyValuesError(Exception):
    pass


class _Reader:
    """Turns composed nodes into plain data while noting places and problems."""

    def __init__(self, path: Path, yaml: YAML, document: Document):
        self.path, self.yaml, self.document = path, yaml, document
        self.open: set[int] = set()
        self.values = 0

    def value(self, node: Node, where: KeyPath) -> Any:
        self.values += 1
        if self.values > _MOST_VALUES:
            raise _TooManyValuesError
        self.document.places.setdefault(where, _place(self.path, node.start_mark))
        if isinstance(node, ScalarNode):
            return self.scalar(node, where)
        if id(node) in self.open:
            return self.problem(node, where, "contains itself")
        if str(node.tag) not in (_CORE + "map", _CORE + "seq"):
            return self.refuse_tag(node, where)
        self.open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.value(item, (*where, i)) for i, item in enumerate(node.value)]
            return dict(self.items(node, where))
        finally:
            self.open.remove(id(node))

    def scalar(self, node: ScalarNode, where: KeyPath) -> Any:
        if str(node.tag) not in _SCALARS:
            return self.refuse_tag(node, where)
        if str(node.tag) == _CORE + "timestamp":
            return node.value
        try:
            node.value.encode()  # escapes can write what is no text, such as half a surrogate pair
            return self.yaml.constructor.construct_object(node)
        except (ValueError, YAMLError) as error:
            return self.problem(node, where, f"cannot be understood: {error}")

    def items(self, node: MappingNode, where: KeyPath) -> Iterator[tuple[str, Any]]:
        first: dict[str, Place] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if str(key_node.tag) == _CORE + "merge":
                self.problem(key_node, where, "has a merge key (<<), which is not allowed")
                continue
            if key is None or not key.isprintable():
                self.problem(key_node, where, "has a key that is not a plain name")
                continue
            path = (*where, key)
            if key in first:
                message = f"appears twice; the first is on line {first[key].line}"
                self.problem(key_node, path, message)
                continue
            first[key] = self.document.places[path] = _place(self.path, key_node.start_mark)
            yield key, self.value(value_node, path)

    def refuse_tag(self, node: Node, where: KeyPath) -> None:
        tag = str(node.tag).replace(_CORE, "!!")
        self.problem(node, where, f"has the tag {tag}, which is not allowed")

    def problem(self, node: Node, where: KeyPath, message: str) -> None:
        place = _place(self.path, node.start_mark)
        self.document.problems.append(Problem(place, where, message))
