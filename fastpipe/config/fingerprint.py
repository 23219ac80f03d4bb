"""Fingerprints of code: what would have to change for a stage to compute something else.

A stage's fingerprint covers its import closure inside `fastpipe`: every module reached through
import statements, wherever they stand, as syntax trees without docstrings and comments.
Importing a *package* by name means all of its modules (that is how registries find theirs). Files
that are not Python (SQL, templates) count with the package in which they lie; hidden files and
editors' backups do not, nor do modules that no result depends on (:data:`HOUSEKEEPING`).
"""

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HOUSEKEEPING", "closure", "fingerprint"]

ROOT = Path(__file__).parent.parent

HOUSEKEEPING = frozenset(
    f"{name}.py"
    for name in (
        *("crash", "devices", "errors", "heartbeat", "locks", "progress", "stopping"),
        "stages/log",
    )
)
"""Modules about how a job lives (what it says, when it waits or ends), not about what it computes.
To edit one of them, or a word of an error message, is no reason to train anything again."""


def fingerprint(module: str, root: Path = ROOT) -> str:
    """Hash of a module's import closure, for example of `fastpipe.stages.finetune`.

    Args:
        module: dotted name below the package that `root` holds.
        root: folder of the package; its name is the package's.

    Raises:
        ValueError: there is no such module.
    """
    total = hashlib.sha256()
    for path in closure(module, root):
        total.update(path.relative_to(root).as_posix().encode() + b"\0")
        total.update(_essence(path, root).encode() + b"\0")
    return total.hexdigest()[:16]


def closure(module: str, root: Path = ROOT) -> list[Path]:
    """Files in the import closure of a module, sorted: modules and their packages' other files.
    Housekeeping is neither among them nor looked into."""
    found: set[Path] = set()
    queue = _resolve(module, root)
    if not queue:
        raise ValueError(f"there is no module {module} in {root}")
    while queue:
        path = queue.pop()
        if path not in found and path.relative_to(root).as_posix() not in HOUSEKEEPING:
            found.add(path)
            names = _code(path, root).imports
            queue += [target for name in names for target in _resolve(name, root)]
    others = {
        file
        for folder in {path.parent for path in found}
        for file in folder.iterdir()
        if file.is_file() and _counts(file.name)
    }
    return sorted(found | others)


def _counts(name: str) -> bool:
    return not name.startswith((".", "#")) and not name.endswith((".py", ".pyc", "~"))


def _resolve(name: str, root: Path) -> list[Path]:
    """Files meant by a dotted name: a module, or all modules of a package below the root's own."""
    first, *rest = name.split(".")
    if first != root.name:
        return []
    path = root.joinpath(*rest)
    if path.with_suffix(".py").is_file() and rest:
        return [path.with_suffix(".py")]
    if rest and path.is_dir():
        return sorted(path.rglob("*.py"))
    return []


@dataclass(frozen=True)
class _Code:
    """What matters in a module: its syntax tree as text, and the names it imports."""

    text: str
    imports: tuple[str, ...]


def _code(path: Path, root: Path) -> _Code:
    """A module's code, read again only if the file has changed."""
    status = path.stat()
    return _read(path, root, (status.st_mtime_ns, status.st_size))


@functools.cache
def _read(path: Path, root: Path, stamp: tuple[int, int]) -> _Code:
    nodes: list[ast.AST] = []
    text = _dump(ast.parse(path.read_bytes(), filename=str(path)), nodes)
    return _Code(text, tuple(_imports(nodes, path, root)))


def _dump(node: object, nodes: list[ast.AST]) -> str:
    """A syntax tree as text, without docstrings; every node is appended to `nodes`.

    `ast.dump` differs between versions of Python, this rarely does. In one pass: every start of
    snakemake reads all the code.
    """
    if isinstance(node, list):
        return f"[{','.join([_dump(member, nodes) for member in node])}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    nodes.append(node)
    given = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            value = [member for member in value if not _is_docstring(member)] or None
        if value is not None:
            given.append(f"{name}={_dump(value, nodes)}")
    return f"{type(node).__name__}({','.join(given)})"


def _is_docstring(node: object) -> bool:
    """Whether it is a string that stands alone: a docstring, or the description of a field."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return False
    return isinstance(node.value.value, str)


def _imports(nodes: Iterable[ast.AST], path: Path, root: Path) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, path, root)
            names = [alias.name for alias in node.names]
            if root.joinpath(*module.split(".")[1:]).is_dir() and names != ["*"]:
                yield from (f"{module}.{name}" for name in names)
            else:
                yield module


def _absolute(node: ast.ImportFrom, path: Path, root: Path) -> str:
    if not node.level:
        return node.module or ""
    package = path.parents[node.level - 1].relative_to(root.parent)
    return ".".join([*package.parts, *([node.module] if node.module else [])])


def _essence(path: Path, root: Path) -> str:
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return _code(path, root).text
