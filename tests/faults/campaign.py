"""A campaign of faults: how often each is tried, and the table of what came out.

A test of faults asks its `tally` how often to try (`times`: a sample in every test run, more in the
campaign) and for random numbers that depend on the campaign's seed and the test alone, and adds up
what it saw. `make faults` runs the whole campaign and writes `docs/faults.md`.
"""

import importlib.util
import json
import platform
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

_spec = importlib.util.spec_from_file_location("rows", Path(__file__).with_name("rows.py"))
_rows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_rows)


@dataclass
class Tally:
    """Of one test.

    Attributes:
        whole: whether this is the whole campaign, not a sample.
        random: random numbers of this test's own.
        counts: what was done and what came out of it, by words for the table.
    """

    whole: bool
    random: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    def times(self, sample: int, whole: int) -> int:
        """How often to try."""
        return whole if self.whole else sample

    def add(self, what: str, count: int = 1) -> None:
        """Count what was done or seen, zeros too: `kills` 20, `lost` 0."""
        self.counts[what] += count


@dataclass
class Campaign:
    """All fault tests of a session."""

    whole: bool
    seed: int
    tallies: dict[str, Tally] = field(default_factory=dict)
    outcomes: dict[int, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    seconds: Counter[int] = field(default_factory=Counter)

    def tally(self, item: Any) -> Tally:
        made = Tally(self.whole, random.Random(f"{self.seed} {item.nodeid}"))
        return self.tallies.setdefault(item.nodeid, made)

    def note(self, item: Any, report: Any) -> None:
        """Take down how a test of a fault ended; a failure outlasts later phases."""
        for row in {row for mark in item.iter_markers("fault") for row in mark.args}:
            self.seconds[row] += report.duration
            ended = self.outcomes[row].get(item.nodeid)
            if report.outcome != "passed" or (report.when == "call" and ended is None):
                self.outcomes[row][item.nodeid] = report.outcome

    def save(self, file: Path) -> None:
        """Write down what a worker has seen, for the process that writes the table."""
        file.parent.mkdir(parents=True, exist_ok=True)
        counts = {node: tally.counts for node, tally in self.tallies.items()}
        file.write_text(json.dumps([counts, self.outcomes, self.seconds]))

    def add(self, file: Path) -> None:
        """Take over what a worker has saved."""
        counts, outcomes, seconds = json.loads(file.read_text())
        for node, own in counts.items():
            self.tallies[node] = Tally(self.whole, random.Random(), Counter(own))
        for row, ended in outcomes.items():
            self.outcomes[int(row)] |= ended
        self.seconds.update({int(row): spent for row, spent in seconds.items()})

    def write(self, file: Path) -> None:
        """The table, in Markdown."""
        head = (
            "# What survives what\n\n"
            f"Written by `make faults` on {date.today()}, seed {self.seed}, Python "
            f"{platform.python_version()}, {platform.system()}.\n\n"
            "| # | fault | expected | outcome | counts | seconds |\n"
            "| --- | --- | --- | --- | --- | --- |\n"
        )
        lines = "".join(self._line(row) for row in _rows.ROWS)
        notes = "".join(f"\nRow {row}: {why}\n" for row, why in sorted(_rows.EXCEPTIONS.items()))
        file.parent.mkdir(exist_ok=True)
        file.write_text(head + lines + notes)

    def _line(self, row: int) -> str:
        fault, expected = _rows.ROWS[row]
        ended = Counter(self.outcomes[row].values())
        outcome = ", ".join(f"{count} {word}" for word, count in sorted(ended.items()))
        counts: Counter[str] = Counter()
        for node in self.outcomes[row]:
            for what, count in getattr(self.tallies.get(node), "counts", {}).items():
                counts[what] += count
        told = ", ".join(f"{count:,} {what}" for what, count in counts.items())
        cells = (row, fault, expected, outcome or "not tested", told, f"{self.seconds[row]:.0f}")
        return "| " + " | ".join(map(str, cells)) + " |\n"
