"""Judging the claims of a study: from queries to rows of `claims.parquet`."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fastpipe.errors import UserError
from fastpipe.reporting.claims.claim import Claim
from fastpipe.reporting.claims.registry import CLAIMS
from fastpipe.reporting.statistics import (
    Judgement,
    Paired,
    Verdict,
    combine,
    judge,
    paired_difference,
)
from fastpipe.reporting.tables import Tables

__all__ = ["Setting", "Verdicts", "chosen_claims", "judge_claims", "write_claims"]


@dataclass(frozen=True)
class Setting:
    """Where a claim is tested."""

    claim: str
    source: str
    epoch: float
    target: str


@dataclass(frozen=True)
class Verdicts:
    """A claim with its verdict, and what the verdict rests on."""

    claim: Claim
    verdict: Verdict
    settings: dict[Setting, Judgement]
    contrasts: dict[Setting, dict[str, Paired]]
    """Setting → contrast ("FAST − Baseline") → differences, positive on the paper's side."""


def chosen_claims(ids: Sequence[str]) -> list[Claim]:
    """Claims by id. Raises UserError naming those that do not exist, and those that do."""
    unknown = [id for id in ids if id not in CLAIMS]
    if unknown:
        raise UserError(
            f"unknown claim {', '.join(unknown)} in the study's `claims`. "
            f"Known claims: {', '.join(CLAIMS)}."
        )
    return [CLAIMS[id] for id in ids]


def judge_claims(tables: Tables, claims: Sequence[Claim]) -> list[Verdicts]:
    """Verdicts on all claims of a study, corrected together."""
    contrasts: dict[Setting, dict[str, Paired]] = {}
    for claim in claims:
        contrasts |= _contrasts(tables, claim)
    judgements = judge(
        {setting: list(paired.values()) for setting, paired in contrasts.items()},
        {setting: CLAIMS[setting.claim].min_pairs for setting in contrasts},
    )
    return [_verdicts(claim, contrasts, judgements) for claim in claims]


def _contrasts(tables: Tables, claim: Claim) -> dict[Setting, dict[str, Paired]]:
    differences: dict[Setting, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in tables.rows(claim.query):
        setting = Setting(claim.id, row["source"], row["epoch"], row["target"])
        values = differences[setting][row["contrast"]]
        if row["difference"] is not None:
            values.append(row["difference"])
    return {
        setting: {name: paired_difference(values) for name, values in named.items()}
        for setting, named in differences.items()
    }


def _verdicts(
    claim: Claim,
    contrasts: dict[Setting, dict[str, Paired]],
    judgements: dict[Setting, Judgement],
) -> Verdicts:
    own = {setting: one for setting, one in judgements.items() if setting.claim == claim.id}
    return Verdicts(
        claim=claim,
        verdict=combine([one.verdict for one in own.values()]),
        settings=own,
        contrasts={setting: contrasts[setting] for setting in own},
    )


_SCHEMA = pa.schema(
    [
        ("claim", pa.string()),
        ("title", pa.string()),
        ("claim_verdict", pa.string()),
        ("source", pa.string()),
        ("epoch", pa.float64()),
        ("target", pa.string()),
        ("setting_verdict", pa.string()),
        ("setting_p", pa.float64()),
        ("setting_p_holm", pa.float64()),
        ("contrast", pa.string()),
        ("unit", pa.string()),
        *((name, pa.int64() if name == "pairs" else pa.float64()) for name in
          ("pairs", "mean", "low", "high", "effect_size", "p", "bootstrap_low", "bootstrap_high")),
    ]
)  # fmt: skip


def write_claims(path: Path, verdicts: Sequence[Verdicts]) -> None:
    """Write one row for each contrast (one for a claim that has none)."""
    rows = [row for one in verdicts for row in _rows(one)]
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path, compression="zstd")


def _rows(one: Verdicts) -> list[dict]:
    claim = {"claim": one.claim.id, "title": one.claim.title, "claim_verdict": one.verdict}
    rows = [
        claim
        | {
            "source": setting.source,
            "epoch": setting.epoch,
            "target": setting.target,
            "setting_verdict": judgement.verdict,
            "setting_p": judgement.p,
            "setting_p_holm": judgement.p_holm,
            "contrast": name,
            "unit": one.claim.unit,
        }
        | asdict(paired)
        for setting, judgement in one.settings.items()
        for name, paired in one.contrasts[setting].items()
    ]
    return rows or [claim]
