"""`claims.parquet` and `claims.csv`: one row for each contrast of each claim."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from fastpipe.reporting.claims.verdicts import Measured, Setting, Verdicts

__all__ = ["write_claims"]

_WORDS = (
    "claim", "paper", "section", "title", "claim_verdict", "study", "source", "target",
    "setting_verdict", "contrast", "statistic", "unit",
)  # fmt: skip
_NUMBERS = (
    "epoch", "setting_p", "setting_p_holm", "reference", "margin", "value", "low", "high",
    "effect_size", "p", "bootstrap_low", "bootstrap_high",
)  # fmt: skip
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in _WORDS]
    + [("pairs", pa.int64()), ("holds", pa.bool_()), ("decisive", pa.bool_())]
    + [(name, pa.float64()) for name in _NUMBERS]
)


def write_claims(parquet: Path, csv: Path, verdicts: Sequence[Verdicts]) -> None:
    """Write both files: one row for each contrast (one for a claim that has none)."""
    rows = [row for one in verdicts for row in _rows(one)]
    table = pa.Table.from_pylist(rows, schema=_SCHEMA)
    pq.write_table(table, parquet, compression="zstd")
    pyarrow.csv.write_csv(table, csv)


def _rows(one: Verdicts) -> list[dict[str, Any]]:
    claim = {
        "claim": one.claim.id,
        "paper": one.claim.paper,
        "section": one.claim.section,
        "title": one.claim.title,
        "claim_verdict": one.verdict,
    }
    rows = [
        claim | _row(one, setting, place, contrast)
        for setting, contrasts in one.contrasts.items()
        for place, contrast in enumerate(contrasts)
    ]
    return rows or [claim]


def _row(one: Verdicts, setting: Setting, place: int, contrast: Measured) -> dict[str, Any]:
    judgement, statistic = one.settings[setting], contrast.part.statistic
    return {
        "study": setting.study,
        "source": setting.source,
        "epoch": setting.epoch,
        "target": setting.target,
        "setting_verdict": judgement.verdict,
        "setting_p": judgement.p,
        "setting_p_holm": judgement.p_holm,
        "decisive": judgement.decisive == place,
        "contrast": contrast.name,
        "statistic": statistic.name,
        "unit": contrast.part.unit,
        "reference": contrast.reference,
        "margin": statistic.margin,
    } | asdict(contrast.estimate)
