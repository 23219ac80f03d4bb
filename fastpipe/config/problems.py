"""What is wrong with a configuration: every problem with its place, told all at once."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastpipe.errors import UserError

__all__ = ["ConfigurationError", "Place", "Problem", "nearest"]


@dataclass(frozen=True)
class Place:
    """A line and column of a file, counted from 1; line 0 is the file as a whole."""

    file: Path
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)


@dataclass(frozen=True)
class Problem:
    """One thing to mend.

    Attributes:
        place: file, line and column.
        key: the path of keys that leads to the value, empty for the whole file.
        message: what is wrong, including the value, and what would be right.
    """

    place: Place
    key: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        key = ".".join(map(str, self.key))
        return f"{self.place}: {key}: {self.message}" if key else f"{self.place}: {self.message}"


class ConfigurationError(UserError):
    """All problems of a configuration, one a line."""

    def __init__(self, problems: Iterable[Problem], config: Any = None):
        self.config = config
        """The entries that are valid on their own, so that more can be found out about them."""
        unique = {str(problem): problem for problem in problems}
        self.problems = sorted(
            unique.values(), key=lambda p: (str(p.place.file), p.place.line, p.place.column)
        )
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        lines = [f"  {problem}" for problem in self.problems]
        super().__init__("\n".join([f"The configuration has {head}:", *lines]))


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint that names the valid name nearest to `name`, or lists the few there are."""
    valid = sorted(valid)
    if not valid:
        return "there are none"
    folded = {text.casefold(): text for text in valid}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    if matches:
        return f"did you mean {folded[matches[0]]!r}?"
    shown = ", ".join(valid[:8]) + (", …" if len(valid) > 8 else "")
    return f"valid: {shown}"
