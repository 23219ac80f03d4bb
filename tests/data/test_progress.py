"""Progress of a long job."""

import io

from rich.console import Console

from fastpipe.data import progress as module
from fastpipe.data.progress import progress


def _shown(terminal, what="prepare [red]x[/]"):
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=100)
    with progress(what, 5, console) as advance:
        for _ in range(5):
            advance(1)
    return text.getvalue()


def test_a_log_gets_plain_lines(monkeypatch):
    assert _shown(False) == "prepare [red]x[/]: 5 of 5\n"
    monkeypatch.setattr(module, "_EVERY_S", -1.0)
    assert _shown(False).splitlines()[1] == "prepare [red]x[/]: 2 of 5"


def test_a_terminal_gets_a_bar():
    shown = _shown(True)
    assert "prepare [red]x[/]" in shown
    assert "5/5" in shown
    assert "━" in shown
