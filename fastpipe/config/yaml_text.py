"""The one way YAML is read: YAML 1.2, safe, every value with its file and line.

`1e-3` is a number, `no` a string, `010` ten; a duplicate key, a merge key or a tag is an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from fastpipe.config.problems import Place, Problem

__all__ = ["Document", "KeyPath", "read_yaml"]

KeyPath = tuple[str | int, ...]

_SCALARS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null")}


@dataclass
class Document:
    """A YAML file as plain data, the place of every value, and what was wrong with it."""

    data: Any
    places: dict[KeyPath, Place]
    problems: list[Problem]


def read_yaml(path: Path) -> Document:
    """Read one YAML file; nothing is raised, all problems are listed in the document."""
    document = Document({}, {}, [])
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        document.problems.append(Problem(Place(path, 0), (), f"cannot be read: {error.strerror}"))
        return document
    except UnicodeDecodeError as error:
        document.problems.append(Problem(Place(path, 0), (), f"is not UTF-8 text: {error.reason}"))
        return document
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        document.problems.append(
            Problem(Place(path, line), (), f"is not valid YAML: {error.problem}")
        )
    except YAMLError as error:
        document.problems.append(Problem(Place(path, 0), (), f"is not valid YAML: {error}"))
    else:
        if node is not None:
            document.data = _Reader(path, yaml, document).value(node, ())
    return document


class _Reader:
    """Turns composed nodes into plain data while noting places and problems."""

    def __init__(self, path: Path, yaml: YAML, document: Document):
        self.path, self.yaml, self.document = path, yaml, document
        self.open: set[int] = set()

    def value(self, node: Node, where: KeyPath) -> Any:
        self.document.places.setdefault(where, self.place(node))
        if isinstance(node, ScalarNode):
            return self.scalar(node, where)
        if id(node) in self.open:
            return self.problem(node, where, "contains itself")
        self.open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.value(item, (*where, i)) for i, item in enumerate(node.value)]
            return dict(self.items(node, where))
        finally:
            self.open.remove(id(node))

    def scalar(self, node: ScalarNode, where: KeyPath) -> Any:
        if node.tag == "tag:yaml.org,2002:timestamp":
            return node.value
        if str(node.tag) not in _SCALARS:
            return self.problem(node, where, f"has the tag {node.tag}, which is not allowed")
        try:
            return self.yaml.constructor.construct_object(node)
        except (ValueError, YAMLError) as error:
            return self.problem(node, where, f"cannot be understood: {error}")

    def items(self, node: MappingNode, where: KeyPath) -> Iterator[tuple[str, Any]]:
        first_line: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if key is None or str(key_node.tag) == "tag:yaml.org,2002:merge":
                self.problem(key_node, where, "has a key that is not a plain name")
                continue
            path = (*where, key)
            if key in first_line:
                message = f"appears twice; the first is on line {first_line[key]}"
                self.problem(key_node, path, message)
                continue
            first_line[key] = key_node.start_mark.line + 1
            self.document.places[path] = self.place(key_node)
            yield key, self.value(value_node, path)

    def place(self, node: Node) -> Place:
        return Place(self.path, node.start_mark.line + 1)

    def problem(self, node: Node, where: KeyPath, message: str) -> None:
        self.document.problems.append(Problem(self.place(node), where, message))
