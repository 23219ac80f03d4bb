"""The report's opening: sentences made from the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fastpipe.reporting.claims.verdicts import Verdicts
from fastpipe.reporting.numbers import epochs, percent, points, scores
from fastpipe.reporting.tables import Row, Tables

__all__ = ["Paragraph", "summarise"]


@dataclass(frozen=True)
class Paragraph:
    """A heading of a few words and sentences; names in them are already escaped."""

    heading: str
    text: Markup


def summarise(tables: Tables, verdicts: Sequence[Verdicts]) -> list[Paragraph]:
    """All paragraphs that the study has numbers for."""
    settings = tables.rows("FROM settings ORDER BY source, target")
    found = [_design(tables), *(_target(tables, setting) for setting in settings)]
    found += [_warmup(verdicts), _pretraining(tables), _similarity(tables), _claims(verdicts)]
    found += [_diverged(tables)]
    return [paragraph for paragraph in found if paragraph]


def _design(tables: Tables) -> Paragraph | None:
    row = tables.rows("""
        SELECT count(*) AS runs, count(DISTINCT seed) AS seeds, min(steps) AS fewest,
            max(steps) AS steps, count(DISTINCT target) AS targets
        FROM runs
    """)[0]
    if not row["runs"]:
        return None
    arms = tables.rows("SELECT count(DISTINCT arm) AS arms FROM comparison")[0]["arms"]
    sources = tables.rows("""
        SELECT DISTINCT source, dataset, backbone, epoch
        FROM snapshots JOIN (SELECT DISTINCT source, epoch FROM settings) USING (source, epoch)
        ORDER BY source
    """)
    pretrained = _list(
        [
            _("<b>{}</b> ({}, pretrained on {} for {})", s["source"], s["backbone"], s["dataset"],
              epochs(s["epoch"]))
            for s in sources
        ]
    )  # fmt: skip
    return Paragraph(
        "The experiment",
        _("{} is fine-tuned to {} in {}. ", pretrained, _count(row["targets"], "target"),
          _count(arms, "way"))
        + _("With {} and every snapshot, that makes <b>{}</b> of up to {} steps.",
            _count(row["seeds"], "seed"), _count(row["runs"], "run"), f"{row['steps']:,}"),
    )  # fmt: skip


# --- one target -----------------------------------------------------------------------------------


def _target(tables: Tables, setting: Row) -> Paragraph | None:
    where = [setting["source"], setting["target"]]
    bands = tables.rows(
        "FROM adp_bands WHERE setting_source = ? AND target = ? ORDER BY position, step", where
    )
    if not bands:
        return None
    last = max(row["step"] for row in bands)
    early = _early([row["step"] for row in bands])
    learned = _learned(_at(bands, early), _at(bands, last), early, last)
    kept = tables.rows(
        "FROM retention_bands WHERE setting_source = ? AND target = ? AND step = ? "
        "ORDER BY position",
        [*where, last],
    )
    return Paragraph(setting["target"], learned + _kept(kept, _dataset(tables, setting)))


def _dataset(tables: Tables, setting: Row) -> str:
    rows = tables.rows(
        "SELECT dataset FROM snapshots WHERE source = ? AND epoch = ?",
        [setting["source"], setting["epoch"]],
    )
    return rows[0]["dataset"] if rows else setting["source"]


def _early(steps: Sequence[int]) -> int:
    """The checkpoint in the middle of the log axis (13 of 200)."""
    middle = max(steps) ** 0.5
    return max((step for step in steps if step <= middle), default=max(steps))


def _at(rows: Sequence[Row], step: int) -> list[Row]:
    return [row for row in rows if row["step"] == step and row["mean"] is not None]


def _learned(early: list[Row], final: list[Row], step: int, last: int) -> Markup:
    fast, baseline = _best(early, "fast"), _best(early, "baseline")
    if not fast or not baseline:
        return _leaders(early, final, step, last)
    ends = _best(final, "fast"), _best(final, "baseline")
    text = _(
        "After {} steps, {} classifies {} of the test images correctly, the best baseline ({}) "
        "{}: {} percentage points {}. ",
        step, _name(fast), _strong(fast), baseline["arm"], _strong(baseline),
        points(fast["mean"] - baseline["mean"]),
        "more" if fast["mean"] >= baseline["mean"] else "less",
    )  # fmt: skip
    if ends[0] and ends[1]:
        text += _(
            "After all {} steps it is {} against {}. ",
            f"{last:,}", _strong(ends[0]), _strong(ends[1]),
        )  # fmt: skip
    return text


def _leaders(early: list[Row], final: list[Row], step: int, last: int) -> Markup:
    """For studies that do not compare FAST with baselines."""
    text = Markup()
    for rows, at in ((early, step), (final, last)):
        if rows:
            best = max(rows, key=lambda row: row["mean"])
            text += _("After {} steps {} is ahead with {}. ", f"{at:,}", _name(best), _strong(best))
    return text


def _kept(kept: list[Row], dataset: str) -> Markup:
    rows = [row for row in kept if row["mean"] is not None and row["before"] is not None]
    fast = _best(rows, "fast")
    if not rows or not fast:
        return Markup()
    baselines = sorted(row["mean"] for row in rows if row["role"] == "baseline")
    text = _(
        "Of the {} accuracy that the network had on {} before, {} keeps {} at the end",
        percent(fast["before"]), dataset, _name(fast), _strong(fast),
    )  # fmt: skip
    if not baselines:
        return text + "."
    span = percent(baselines[0])
    if len(baselines) > 1:
        span = f"{percent(baselines[0])} to {percent(baselines[-1])}"
    return text + _("; the baseline{} {}.", "s keep" if len(baselines) > 1 else " keeps", span)


def _best(rows: Sequence[Row], role: str) -> Row | None:
    return max((row for row in rows if row["role"] == role), key=lambda r: r["mean"], default=None)


# --- across targets -------------------------------------------------------------------------------


def _warmup(verdicts: Sequence[Verdicts]) -> Paragraph | None:
    paired = [
        (setting.target, one)
        for verdict in verdicts
        if verdict.claim.id == "A5"
        for setting, named in verdict.contrasts.items()
        for one in named.values()
        if one.mean is not None
    ]
    if not paired:
        return None
    parts = [
        _(
            "<b>{} points</b> {} on {}",
            points(one.mean),
            "more" if one.mean >= 0 else "less",
            target,
        )
        for target, one in paired
    ]
    return Paragraph(
        "Warm-up",
        _("Within 20 steps of releasing the body after warm-up, validation accuracy drops {} "
          "than under FAST at the same steps.", _list(parts)),
    )  # fmt: skip


def _pretraining(tables: Tables) -> Paragraph | None:
    rows = tables.rows("""
        WITH ends AS (
            SELECT source, target, arm, position, epoch, avg(adp_auc) AS auc
            FROM over_pretraining WHERE adp_auc IS NOT NULL GROUP BY ALL
        )
        SELECT source, target, arm, position,
            min(epoch) AS first, max(epoch) AS last,
            arg_min(auc, epoch) AS before, arg_max(auc, epoch) AS after
        FROM ends GROUP BY ALL HAVING count(*) > 1
        ORDER BY source, target, position
    """)
    if not rows:
        return None
    parts = [
        _("of {} on {} from {} to <b>{}</b>", _name(row), row["target"], scores(row["before"]),
          scores(row["after"]))
        for row in rows
    ]  # fmt: skip
    return Paragraph(
        "Pretraining",
        _("Starting after {} of pretraining instead of {:g} moves the accuracy at any time "
          "(ADP-AUC, between 0 and 1) {}.",
          epochs(max(row["last"] for row in rows)), min(row["first"] for row in rows),
          _list(parts)),
    )  # fmt: skip


def _similarity(tables: Tables) -> Paragraph | None:
    rows = tables.rows("""
        SELECT similarity.*, dataset
        FROM similarity
        JOIN settings USING (source, epoch, target)
        LEFT JOIN snapshots USING (source, epoch)
        ORDER BY source, similarity DESC
    """)
    if len(rows) < 2 or len({row["source"] for row in rows}) > 1:
        return None
    parts = [_("{} (<b>{}</b>)", row["target"], scores(row["similarity"])) for row in rows]
    return Paragraph(
        "Similarity",
        _("In the pretrained features, the target most similar to {} is {}, followed by {}; "
          "1 would be identical.", rows[0]["dataset"] or rows[0]["source"], parts[0],
          _list(parts[1:])),
    )  # fmt: skip


_VERDICTS = {
    "supported": "supported",
    "contradicted": "contradicted",
    "inconclusive": "left open",
    "not run": "left untested",
}


def _claims(verdicts: Sequence[Verdicts]) -> Paragraph | None:
    if not verdicts:
        return None
    groups: dict[str, list[Markup]] = {}
    for one in verdicts:
        link = _('<a href="#claim-{}">{}</a>', one.claim.id, one.claim.id)
        groups.setdefault(one.verdict, []).append(link)
    parts = [
        _("{} {} <b>{}</b>", _list(links), "is" if len(links) == 1 else "are", _VERDICTS[verdict])
        for verdict, links in groups.items()
    ]
    return Paragraph(
        "Claims",
        _("Of {} taken from the paper, {} by these runs.",
          _count(len(verdicts), "claim"), _list(parts)),
    )  # fmt: skip


def _diverged(tables: Tables) -> Paragraph | None:
    rows = tables.rows("""
        SELECT recipe, target, count(*) AS runs, min(diverged_step) AS step
        FROM runs WHERE status = 'diverged' GROUP BY ALL ORDER BY ALL
    """)
    if not rows:
        return None
    parts = [
        _("{} of {} on {} (from step {})", row["runs"], row["recipe"], row["target"], row["step"])
        for row in rows
    ]
    return Paragraph("Diverged", _("The loss of some runs became infinite: {}.", _list(parts)))


# --- words ----------------------------------------------------------------------------------------


def _(template: str, *values: object) -> Markup:
    """Fill a template; what is filled in is escaped, unless it is Markup itself."""
    return Markup(template).format(*values)


def _name(row: Row) -> Markup:
    return _("<b>{}</b>", row["arm"])


def _strong(row: Row) -> Markup:
    return _("<b>{}</b>", percent(row["mean"]))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _list(parts: Sequence[Markup]) -> Markup:
    """ "a", "a and b", "a, b and c"."""
    if len(parts) < 2:
        return Markup().join(parts)
    return _("{} and {}", Markup(", ").join(parts[:-1]), parts[-1])
