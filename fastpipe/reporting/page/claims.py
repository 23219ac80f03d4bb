"""The claims section: a row for each claim, and behind it every comparison."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fastpipe.reporting.claims.claim import Part
from fastpipe.reporting.claims.judging import MEANING, VERDICTS, Judgement
from fastpipe.reporting.claims.verdicts import Measured, Setting, Verdicts
from fastpipe.reporting.numbers import count, difference

__all__ = ["claims_section", "estimate_text"]

_UNITS = {
    "points": "percentage points",
    "area": "ADP-AUC",
    "distance": "feature distance",
    "ratio": "",
    "slope": "",
    "deviation": "off by",
    "correlation": "",
    "decades": "powers of ten",
}
_PAIRS = {
    "rank correlation": "points",
    "exact check": "values",
    "rank correlation over pairs": "source–target pairs",
    "slope over pairs": "source–target pairs",
    "Kendall's W": "targets",
}


def claims_section(
    verdicts: Sequence[Verdicts],
    figures: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
) -> dict[str, Any]:
    """What the template shows of claims.

    Args:
        verdicts: judged claims.
        figures: the page's figures: `id`, `number`, `exhibit` and `study`.
        titles: study → title.
    """
    counts = Counter(one.verdict for one in verdicts)
    return {
        "claims": [_claim(one, figures, titles) for one in verdicts],
        "verdicts": [
            {"word": word, "kind": _kind(word), "means": MEANING[word], "count": counts[word]}
            for word in VERDICTS
        ],
        "papers": list(dict.fromkeys(one.claim.paper for one in verdicts)),
    }


def _kind(verdict: str) -> str:
    return verdict.replace(" ", "-")


def _claim(
    one: Verdicts, figures: Sequence[Mapping[str, Any]], titles: Mapping[str, str]
) -> dict[str, Any]:
    claim, groups = one.claim, _groups(one, titles)
    comparisons = sum(len(own) for own in one.contrasts.values())
    return {
        "id": claim.id,
        "paper": claim.paper,
        "section": claim.section,
        "title": claim.title,
        "says": claim.says,
        "measured": claim.measured,
        "verdict": one.verdict,
        "kind": _kind(one.verdict),
        "statistic": " and ".join(dict.fromkeys(part.statistic.name for part in claim.parts)),
        "unit": _UNITS[claim.parts[-1].unit],
        "headline": _headline(one, comparisons),
        "links": _links(one, figures),
        "groups": groups,
        "comparisons": f"{count(comparisons, 'comparison')} in {count(len(groups), 'setting')}",
        "findings": [
            {"study": titles.get(study, study) if len(one.findings) > 1 else "", "text": text}
            for study, text in one.findings.items()
        ],
    }


def _headline(one: Verdicts, comparisons: int) -> dict[str, Any] | None:
    """The one comparison that the verdict rests on."""
    if one.decisive is None:
        return None
    setting, contrast = one.decisive
    what = contrast.name if comparisons == 1 else f"{contrast.name}, on {setting.target}"
    rest = "" if comparisons == 1 else f"decides among {comparisons}"
    return _contrast(contrast, None) | {
        "what": what,
        "rest": rest,
        "unit": _UNITS[contrast.part.unit],
        "statistic": contrast.part.statistic.name,
    }


def _links(one: Verdicts, figures: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """For each study, the figure that shows the claim best; else the final numbers."""
    found: dict[str, str] = {}
    for study in dict.fromkeys(setting.study for setting in one.settings):
        own = {
            figure.get("exhibit", figure["id"]): figure
            for figure in figures
            if figure.get("study", study) == study
        }
        for exhibit in one.claim.exhibits:
            if exhibit in own:
                kind = own[exhibit].get("kind", "Figure").lower()
                found[own[exhibit]["id"]] = f"{kind} {own[exhibit]['number']}"
                break
        else:
            found["final-table"] = "final numbers"
    return [{"anchor": anchor, "text": text} for anchor, text in found.items()]


# --- comparisons ----------------------------------------------------------------------------------


def _groups(one: Verdicts, titles: Mapping[str, str]) -> list[dict[str, Any]]:
    places = {
        id(part): _Forest(
            part, [c for own in one.contrasts.values() for c in own if c.part is part]
        )
        for part in one.claim.parts
    }
    return [
        {
            "where": _where(setting, one, titles),
            "verdict": judgement.verdict,
            "kind": _kind(judgement.verdict),
            "p": _p(judgement),
            "contrasts": [
                _contrast(contrast, places[id(contrast.part)])
                for contrast in one.contrasts[setting]
            ],
        }
        for setting, judgement in one.settings.items()
    ]


def _where(setting: Setting, one: Verdicts, titles: Mapping[str, str]) -> str:
    """The target; with its source and its study where there are several."""
    text = setting.target
    if setting.source and len({other.source for other in one.settings}) > 1:
        text = f"{text} from {setting.source}"
    if len({other.study for other in one.settings}) > 1:
        text = f"{text} ({titles.get(setting.study, setting.study)})"
    return text


def _p(judgement: Judgement) -> str:
    if judgement.p_holm is None:
        return "–"
    return "< 0.001" if judgement.p_holm < 0.001 else f"{judgement.p_holm:.3f}"


def _contrast(contrast: Measured, place: "_Forest | None") -> dict[str, Any]:
    found, part = contrast.estimate, contrast.part
    return {
        "contrast": contrast.name,
        "estimate": _number(found.value, part),
        "interval": _interval(found.low, found.high, part),
        "bootstrap": _interval(found.bootstrap_low, found.bootstrap_high, part),
        "effect": "–" if found.effect_size is None else difference(found.effect_size, "distance"),
        "pairs": found.pairs,
        "counted": _PAIRS.get(part.statistic.name, "pairs"),
        "unit": _UNITS[part.unit],
        "forest": place and place(contrast),
    }


def estimate_text(contrast: Measured) -> str:
    """ "+0.172 (+0.141 to +0.204)"."""
    found, part = contrast.estimate, contrast.part
    interval = _interval(found.low, found.high, part)
    unit = " points" if part.unit == "points" else ""
    return _number(found.value, part) + unit + (f" ({interval})" if interval else "")


def _number(value: float | None, part: Part) -> str:
    """An estimate in its unit; of an exact check how far it is off."""
    if value is not None and part.statistic.exact:
        value -= part.statistic.reference
    return difference(value, part.unit)


def _interval(low: float | None, high: float | None, part: Part) -> str:
    if low is None or high is None:
        return ""
    return f"{_number(low, part)} to {_number(high, part)}"


class _Forest:
    """Positions, in a strip 140 wide, of the intervals of one part on their common scale."""

    def __init__(self, part: Part, contrasts: Sequence[Measured]):
        self._part, statistic = part, part.statistic
        self._transform = math.log if statistic.logarithmic else float
        found = [one.estimate for one in contrasts]
        ends = [x for one in found for x in (one.low, one.high) if x is not None]
        ends += [end for one in contrasts for end in self._margin(one)]
        values = [self._transform(end) for end in ends] if not statistic.exact else []
        self._low, self._high = min(values, default=0.0), max(values, default=1.0)

    def __call__(self, contrast: Measured) -> dict[str, float] | None:
        found, statistic = contrast.estimate, self._part.statistic
        if statistic.exact or found.value is None or found.low is None or found.high is None:
            return None
        values = {
            "zero": contrast.reference, "low": found.low, "mean": found.value,
            "high": found.high,
        }  # fmt: skip
        positions = {name: self._position(value) for name, value in values.items()}
        left, right = (self._position(end) for end in self._margin(contrast))
        return positions | {"margin": left, "margin_width": round(right - left, 1)}

    def _margin(self, contrast: Measured) -> tuple[float, float]:
        statistic, middle = self._part.statistic, contrast.reference
        wide = statistic.name == "equivalence" or statistic.name == "slope"
        return middle - statistic.margin, middle + (statistic.margin if wide else 0.0)

    def _position(self, value: float) -> float:
        span = (self._high - self._low) or 1.0
        return round(5 + 130 * (self._transform(value) - self._low) / span, 1)
