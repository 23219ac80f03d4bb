"""Judging the claims of a report: from queries to verdicts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fastpipe.errors import UserError
from fastpipe.reporting.claims.claim import Claim, Part
from fastpipe.reporting.claims.judging import Contrast, Judgement, Verdict, combine, judge
from fastpipe.reporting.claims.registry import CLAIMS
from fastpipe.reporting.statistics import Estimate
from fastpipe.reporting.tables import Row, Tables

__all__ = ["Measured", "Setting", "Verdicts", "chosen_claims", "judge_claims"]

_NO_RUNS = Estimate(0, None, None, None, None, True, None)


@dataclass(frozen=True)
class Setting:
    """Where a claim is tested; a comparison of sources has neither source nor epoch."""

    claim: str
    study: str
    source: str | None
    epoch: float | None
    target: str


@dataclass(frozen=True)
class Measured(Contrast):
    """A contrast and the part of the claim that it belongs to."""

    part: Part | None = None

    @property
    def reference(self) -> float:
        """Where "no effect" lies, or chance, or the expected value."""
        chance = self.estimate.chance
        return self.part.statistic.reference if chance is None else chance


@dataclass(frozen=True)
class Verdicts:
    """A claim with its verdict, and what the verdict rests on."""

    claim: Claim
    verdict: Verdict
    settings: dict[Setting, Judgement]
    contrasts: dict[Setting, list[Measured]]
    findings: dict[str, str]
    """Study → what its author found out about the claim."""

    @property
    def decisive(self) -> tuple[Setting, Measured] | None:
        """The setting and contrast that speak most against a better verdict than this one."""
        return self.decisive_among(self.settings)

    def decisive_among(self, settings: Iterable[Setting]) -> tuple[Setting, Measured] | None:
        """The setting and contrast that speak most against a better verdict on some settings.

        Of those with their common verdict: the clearest contrast on the other side, else the
        weakest on the paper's.
        """
        judged = {s: self.settings[s] for s in settings if self.settings[s].decisive is not None}
        verdict = combine([one.verdict for one in judged.values()])
        found = {
            setting: self.contrasts[setting][one.decisive]
            for setting, one in judged.items()
            if one.verdict == verdict
        }
        if not found:
            return None

        def weight(setting: Setting) -> tuple[bool, float]:
            p = judged[setting].p or 0.0
            holds = found[setting].estimate.holds
            return not holds, p if holds else -p

        setting = max(found, key=weight)
        return setting, found[setting]


def chosen_claims(ids: Sequence[str]) -> list[Claim]:
    """Claims by id, in the order of their numbers.

    Raises UserError naming those that do not exist, and those that do.
    """
    unknown = [id for id in ids if id not in CLAIMS]
    if unknown:
        raise UserError(
            f"unknown claim {', '.join(unknown)} in the study's `claims`. "
            f"Known claims: {', '.join(CLAIMS)}."
        )
    return [claim for id, claim in CLAIMS.items() if id in ids]


def judge_claims(tables: Tables, claims: Sequence[Claim]) -> list[Verdicts]:
    """Verdicts on all claims of a report, corrected together."""
    asked = {row["name"]: set(row["claims"] or ()) for row in tables.rows("FROM studies")}
    contrasts: dict[Setting, list[Measured]] = {}
    for claim in claims:
        contrasts |= _contrasts(tables, claim, {s for s, own in asked.items() if claim.id in own})
    judgements = judge(contrasts)
    return [_verdicts(tables, claim, contrasts, judgements) for claim in claims]


def _contrasts(tables: Tables, claim: Claim, studies: set[str]) -> dict[Setting, list[Measured]]:
    """Contrasts of one claim by setting, of the studies that list it (only here are they chosen).

    A part of the claim that has no runs in a setting leaves an empty contrast there: a claim needs
    all its parts.
    """
    parts = [_grouped(tables.rows(part.query), claim, studies) for part in claim.parts]
    settings = dict.fromkeys(setting for found in parts for setting in found)
    return {
        setting: [
            contrast
            for part, found in zip(claim.parts, parts, strict=True)
            for contrast in _measured(part, found.get(setting, {}))
        ]
        for setting in settings
    }


def _grouped(
    rows: Sequence[Row], claim: Claim, studies: set[str]
) -> dict[Setting, dict[str, list[Row]]]:
    found: dict[Setting, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["study"] in studies:
            setting = Setting(
                claim.id, row["study"], row["source"], row["epoch"], row["target"]
            )  # fmt: skip
            found[setting][row["contrast"]].append(row)
    return found


def _measured(part: Part, found: Mapping[str, Sequence[Row]]) -> list[Measured]:
    statistic = part.statistic
    fewest = statistic.fewest_pairs if statistic.exact else part.fewest_pairs
    return [
        Measured(name, statistic(rows), max(statistic.fewest_pairs, fewest), statistic.exact, part)
        for name, rows in found.items()
    ] or [Measured("no runs for this part", _NO_RUNS, 1, statistic.exact, part)]


def _verdicts(
    tables: Tables,
    claim: Claim,
    contrasts: Mapping[Setting, list[Measured]],
    judgements: Mapping[Setting, Judgement],
) -> Verdicts:
    own = {setting: one for setting, one in judgements.items() if setting.claim == claim.id}
    findings = tables.rows("SELECT study, text FROM findings WHERE claim = ?", [claim.id])
    return Verdicts(
        claim=claim,
        verdict=combine([one.verdict for one in own.values()]),
        settings=own,
        contrasts={setting: contrasts[setting] for setting in own},
        findings={row["study"]: row["text"] for row in findings},
    )
