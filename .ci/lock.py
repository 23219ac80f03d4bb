"""Compare requirements.lock with what is installed and declared, or write it anew (`--write`).

The lock holds the exact versions of everything that pyproject.toml asks for, directly or through
other packages. It has drifted when a package is missing from it, is not needed any more, is outside
the declared range, or differs from what is installed.
"""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements.lock"


def declared() -> list[Requirement]:
    """Requirements of pyproject.toml, those for development included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*map(Requirement, project["dependencies"] + project["optional-dependencies"]["dev"])]


def name_of(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", requirement).lower()


def installed() -> dict[str, str]:
    """Name and version of everything the declared requirements need, as installed."""
    found: dict[str, str] = {}
    queue = [(requirement, "") for requirement in declared()]
    while queue:
        requirement, extra = queue.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = name_of(requirement.name)
        try:
            package = distribution(name)
        except PackageNotFoundError:
            found[name] = "(not installed)"
            continue
        needs = [Requirement(text) for text in package.requires or []]
        if name not in found or requirement.extras:
            found[name] = package.version.partition("+")[0]
            queue += [(need, extra) for need in needs for extra in ("", *requirement.extras)]
    return dict(sorted(found.items()))


def locked() -> dict[str, str]:
    lines = [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def drift() -> list[str]:
    """One line for each way in which the lock has drifted."""
    lock, here = locked(), installed()
    problems = [
        f"{name} {here[name]} is needed but not locked" for name in here if name not in lock
    ]
    problems += [f"{name} is locked but not needed" for name in lock if name not in here]
    problems += [
        f"{name} is locked at {lock[name]} but {here[name]} is installed"
        for name in here
        if name in lock and lock[name] != here[name]
    ]
    problems += [
        f"{requirement} is declared but {lock[name_of(requirement.name)]} is locked"
        for requirement in declared()
        if name_of(requirement.name) in lock
        and not requirement.specifier.contains(lock[name_of(requirement.name)])
    ]
    return problems


if __name__ == "__main__":
    if "--write" in sys.argv:
        head = "# Exact versions (Linux, Python 3.11) of all that pyproject.toml needs: make lock\n"
        LOCK.write_text(head + "".join(f"{n}=={v}\n" for n, v in installed().items()))
    elif problems := drift():
        print("requirements.lock has drifted (make lock writes it anew):", *problems, sep="\n  ")
        sys.exit(1)
