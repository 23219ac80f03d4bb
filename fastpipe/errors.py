"""The one exception a user is meant to read, and text that is safe to show."""

import unicodedata

__all__ = ["UserError", "printable"]

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of signs that move the cursor, colour the terminal or turn the text around."""

_JOINERS = "\u200c\u200d"
"""Parts of words and of emoji."""


class UserError(Exception):
    """A mistake or a condition the user can mend.

    The message says what was wrong, where (file, key, value) and what to do. The command line
    prints it without a traceback and exits with status 1. It is `printable`, whatever the names of
    files, classes and keys in it.

    Args:
        problem: what was wrong; all of the message, or without its end.
        remedy: that end, where some readers need another: what to do.
    """

    def __init__(self, problem: str, remedy: str = ""):
        self.problem = printable(problem)
        super().__init__(printable(f"{problem} {remedy}" if remedy else problem))


def printable(text: str) -> str:
    """The text with every sign that a terminal would obey written as an escape, line ends kept.

    So a file called `\\x1b[2J` is shown as that and clears no screen.
    """
    if text.isprintable():
        return text
    return "".join(
        sign
        if sign == "\n" or sign in _JOINERS or unicodedata.category(sign) not in _UNSEEN
        else repr(sign)[1:-1]
        for sign in text
    )
