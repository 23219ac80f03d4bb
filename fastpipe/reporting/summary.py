"""The report's opening: sentences made from the numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fastpipe.advice.regret import in_words
from fastpipe.reporting.claims.judging import VERDICTS, combine
from fastpipe.reporting.claims.verdicts import Verdicts
from fastpipe.reporting.numbers import count, epochs, percent, points, scores
from fastpipe.reporting.page.claims import estimate_text
from fastpipe.reporting.page.studies import arm_labels, study_titles
from fastpipe.reporting.statistics import Estimate, PairedDifference
from fastpipe.reporting.tables import Row, Tables

__all__ = ["Paragraph", "summarise"]


_FEW_SETTINGS = 6
"""With more pairs of source and target there is a paragraph for each source instead."""


@dataclass(frozen=True)
class Paragraph:
    """A heading of a few words and sentences; names in them are already escaped."""

    heading: str
    text: Markup


def summarise(tables: Tables, verdicts: Sequence[Verdicts]) -> list[Paragraph]:
    """All paragraphs that the report has numbers for; fewer words where it has several studies."""
    if len(arm_labels(tables)) > 1:
        found = [_design(tables), _claims(verdicts), *_studies(study_titles(tables), verdicts)]
    else:
        settings = tables.rows("FROM settings ORDER BY source, target")
        if len(settings) > _FEW_SETTINGS:
            sources = dict.fromkeys((row["study"], row["source"]) for row in settings)
            found = [_design(tables), *(_source(tables, *source) for source in sources)]
        else:
            found = [_design(tables), *(_target(tables, setting) for setting in settings)]
        found += [_warmup(verdicts), _pretraining(tables), _similarity(tables), _claims(verdicts)]
    found += [*_advice(tables), _diverged(tables)]
    return [paragraph for paragraph in found if paragraph]


def _design(tables: Tables) -> Paragraph | None:
    row = tables.rows("""
        SELECT count(*) AS runs, count(DISTINCT seed) AS seeds, min(steps) AS fewest,
            max(steps) AS steps, count(DISTINCT target) AS targets
        FROM runs
    """)[0]
    if not row["runs"]:
        return None
    arms = sum(len(labels) for labels in arm_labels(tables).values())
    sources = tables.rows("""
        SELECT DISTINCT source, dataset, backbone, epoch
        FROM snapshots JOIN (SELECT DISTINCT source, epoch FROM settings) USING (source, epoch)
        ORDER BY source
    """)
    pretrained = _list(
        [
            _("<b>{}</b> ({}, pretrained on {} for {})", s["source"], s["backbone"], s["dataset"],
              epochs(s["epoch"]))
            if s["dataset"]
            else _("<b>{}</b> ({}, released weights)", s["source"], s["backbone"])
            for s in sources
        ]
    )  # fmt: skip
    return Paragraph(
        "The experiment",
        _("{} is fine-tuned to {} in {}. ", pretrained, count(row["targets"], "target"),
          count(arms, "way"))
        + _("With {} and every snapshot, that makes <b>{}</b> of up to {} steps.",
            count(row["seeds"], "seed"), count(row["runs"], "run"), f"{row['steps']:,}"),
    )  # fmt: skip


# --- one target -----------------------------------------------------------------------------------


def _target(tables: Tables, setting: Row) -> Paragraph | None:
    where = [setting["study"], setting["source"], setting["target"]]
    bands = tables.rows(
        "FROM adp_bands WHERE study = ? AND setting_source = ? AND target = ? "
        "ORDER BY position, step",
        where,
    )
    if not bands:
        return None
    last = max(row["step"] for row in bands)
    early = _early([row["step"] for row in bands])
    learned = _learned(tables, where, _at(bands, early), _at(bands, last))
    kept = tables.rows(
        "FROM retention_bands WHERE study = ? AND setting_source = ? AND target = ? AND step = ? "
        "ORDER BY position",
        [*where, last],
    )
    return Paragraph(setting["target"], learned + _kept(kept, _dataset(tables, setting)))


def _source(tables: Tables, study: str, source: str) -> Paragraph | None:
    """What tuning on validation images gives on all targets of a source, where they are many."""
    rows = tables.rows(
        """
        WITH arms AS (
            SELECT target, arm, role, avg(val_top1) AS val, avg(final_top1) AS test
            FROM comparison
            WHERE study = ? AND setting_source = ? AND role <> 'scratch'
            GROUP BY ALL
        )
        SELECT target, count(*) AS arms, arg_max(test, val) AS tuned,
            max(test) FILTER (role = 'baseline') AS declared
        FROM arms GROUP BY target HAVING tuned IS NOT NULL ORDER BY tuned
        """,
        [study, source],
    )
    if not rows:
        return None
    lowest, highest = rows[0], rows[-1]
    text = _(
        "Of {} arms, that with the best validation accuracy classifies {} ({}) to {} ({}) of the "
        "test images correctly. ",
        rows[0]["arms"], _bold(lowest["tuned"]), lowest["target"], _bold(highest["tuned"]),
        highest["target"],
    )  # fmt: skip
    gains = [row["tuned"] - row["declared"] for row in rows if row["declared"] is not None]
    if gains:
        text += _(
            "The best baseline on the test images differs from it by {} to {} percentage points. ",
            *(f"{100 * gain:+.1f}".replace("-", "−") for gain in (-max(gains), -min(gains))),
        )  # fmt: skip
    return Paragraph(f"From {source}", text)


def _bold(share: float) -> Markup:
    return _("<b>{}</b>", percent(share))


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


def _learned(tables: Tables, where: list[str], early: list[Row], final: list[Row]) -> Markup:
    fast, baseline = _best(early, "fast"), _best(early, "baseline")
    if not fast or not baseline:
        return _leaders(early, final)
    gain = _gain(tables, where, fast, baseline)
    text = _(
        "After {}, {} classifies {} of the test images correctly, the best baseline ({}) "
        "{}: {} percentage points {}{}. ",
        count(fast["step"], "step"), _name(fast), _strong(fast), baseline["arm"],
        _strong(baseline), points(fast["mean"] - baseline["mean"]),
        "more" if fast["mean"] >= baseline["mean"] else "less", _range(gain),
    )  # fmt: skip
    ends = _best(final, "fast"), _best(final, "baseline")
    if ends[0] and ends[1]:
        text += _(
            "After all {} it is {} against {}. ",
            count(ends[0]["step"], "step"), _strong(ends[0]), _strong(ends[1]),
        )  # fmt: skip
    return text


def _gain(tables: Tables, where: list[str], one: Row, other: Row) -> Estimate:
    """Difference of two arms at a step, paired by seed."""
    scores = """
        SELECT seed, adp.top1
        FROM comparison JOIN adp USING (source, epoch, target, recipe, seed)
        WHERE study = ? AND setting_source = ? AND target = ? AND step = ? AND arm = ?
    """
    first, second = (
        {row["seed"]: row["top1"] for row in tables.rows(scores, [*where, arm["step"], arm["arm"]])}
        for arm in (one, other)
    )
    values = [
        {"value": value - second[seed]}
        for seed, value in sorted(first.items())
        if value is not None and second.get(seed) is not None
    ]
    return PairedDifference()(values)


def _range(found: Estimate) -> str:
    """The interval of a difference that is told without its sign."""
    if found.low is None or found.high is None or found.value is None:
        return ""
    sign = 1 if found.value >= 0 else -1
    low, high = sorted((100 * sign * found.low, 100 * sign * found.high))
    return f" (95 % interval {low:.1f} to {high:.1f})".replace("-", "−")


def _leaders(early: list[Row], final: list[Row]) -> Markup:
    """For studies that do not compare FAST with baselines."""
    text = Markup()
    for rows in (early, final):
        if rows and (rows is early or rows != early):
            best = max(rows, key=lambda row: row["mean"])
            steps = count(best["step"], "step")
            text += _("After {} {} is ahead with {}. ", steps, _name(best), _strong(best))
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
        (setting.target, one.estimate)
        for verdict in verdicts
        if verdict.claim.id == "A5"
        for setting, contrasts in verdict.contrasts.items()
        for one in contrasts
        if one.estimate.value is not None
    ]
    if not paired:
        return None
    parts = [
        _("<b>{} points</b> {} on {}{}", points(one.value), "more" if one.value >= 0 else "less",
          target, _range(one))
        for target, one in paired
    ]  # fmt: skip
    return Paragraph(
        "Warm-up",
        _("Within 20 steps of releasing the body after warm-up, validation accuracy drops {} "
          "than under FAST at the same steps.", _list(parts)),
    )  # fmt: skip


def _pretraining(tables: Tables) -> Paragraph | None:
    rows = tables.rows("""
        WITH ends AS (
            SELECT source, target, arm, position, epoch, avg(adp_auc) AS auc,
                half_width95(adp_auc) AS half
            FROM over_pretraining WHERE adp_auc IS NOT NULL GROUP BY ALL
        )
        SELECT source, target, arm, position,
            min(epoch) AS first, max(epoch) AS last,
            arg_min(auc, epoch) AS before, arg_max(auc, epoch) AS after,
            arg_min_null(half, epoch) AS before_half, arg_max_null(half, epoch) AS after_half
        FROM ends GROUP BY ALL HAVING count(*) > 1
        ORDER BY source, target, position
    """)
    if not rows:
        return None
    parts = [
        _("of {} on {} from {} to <b>{}</b>{}", _name(row), row["target"],
          scores(row["before"]) + _spread(row["before_half"]), scores(row["after"]),
          _spread(row["after_half"]))
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


def _advice(tables: Tables) -> list[Paragraph]:
    """Whether learning rates can be advised, of each study with a grid that lists the exhibit."""
    rows = tables.rows("""
        SELECT advice.* FROM advice JOIN studies ON studies.name = study
        WHERE list_contains(exhibits, 'advice')
        ORDER BY studies.position
    """)
    studies = dict.fromkeys(row["study"] for row in rows)
    return [
        Paragraph(
            "Advice" if len(studies) == 1 else f"Advice, {study}",
            _("A learning rate by the paper’s rule, for a target that was left out: {}",
              " ".join(in_words([row for row in rows if row["study"] == study]))),
        )
        for study in studies
    ]  # fmt: skip


def _claims(verdicts: Sequence[Verdicts]) -> Paragraph | None:
    if not verdicts:
        return None
    groups = {word: [one for one in verdicts if one.verdict == word] for word in VERDICTS}
    parts = [
        _("<b>{}</b> {} ({})", len(own), word, _list([_link(one) for one in own]))
        for word, own in groups.items()
        if own
    ]
    return Paragraph("Claims", _("Of {}: {}.", count(len(verdicts), "claim"), _list(parts)))


def _link(one: Verdicts) -> Markup:
    return _('<a href="#claim-{}">{}</a>', one.claim.id, one.claim.id)


def _studies(titles: Mapping[str, str], verdicts: Sequence[Verdicts]) -> list[Paragraph]:
    """For each study its claims, with the number that decides each."""
    found = []
    for study, title in titles.items():
        sentences = [sentence for one in verdicts if (sentence := _in_study(one, study))]
        if sentences:
            found.append(Paragraph(title, Markup(" ").join(sentences)))
    return found


def _in_study(one: Verdicts, study: str) -> Markup | None:
    """A claim, its verdict in one study, and the comparison that decides it."""
    own = [setting for setting in one.settings if setting.study == study]
    if not own:
        return None
    verdict = combine([one.settings[setting].verdict for setting in own])
    deciding, number = one.decisive_among(own), Markup("")
    if deciding:
        setting, contrast = deciding
        p = one.settings[setting].p_holm
        tail = "" if p is None else f", p = {p:.2g}" if p >= 0.001 else ", p < 0.001"
        where = "" if len(own) == 1 else _(" on {}", setting.target)
        number = _(": {}{}{}", estimate_text(contrast), where, tail)
    return _("{} ({}) is <b>{}</b>{}.", one.claim.title, _link(one), verdict, number)


_MANY = 6


def _diverged(tables: Tables) -> Paragraph | None:
    rows = tables.rows("""
        SELECT any_value(arm) AS arm, source, target, count(DISTINCT seed) AS runs,
            min(diverged_step) AS step
        FROM comparison WHERE status = 'diverged'
        GROUP BY source, epoch, target, recipe ORDER BY source, target, arm
    """)
    if not rows:
        return None
    parts = [
        _(
            "{} of {} from {} on {} (from step {})",
            row["runs"],
            row["arm"],
            row["source"],
            row["target"],
            row["step"],
        )
        for row in rows[:_MANY]
    ]
    if len(rows) > _MANY:
        rest = sum(row["runs"] for row in rows[_MANY:])
        parts.append(_("{} of others", rest))
    return Paragraph("Diverged", _("The loss of some runs became infinite: {}.", _list(parts)))


# --- words ----------------------------------------------------------------------------------------


def _(template: str, *values: object) -> Markup:
    """Fill a template; what is filled in is escaped, unless it is Markup itself."""
    return Markup(template).format(*values)


def _spread(half_width: float | None) -> str:
    return "" if half_width is None else f"\u00a0±\u00a0{half_width:.3f}"


def _name(row: Row) -> Markup:
    return _("<b>{}</b>", row["arm"])


def _strong(row: Row) -> Markup:
    """A mean with half the width of its 95 % interval."""
    half = row["half_width"]
    spread = "" if half is None else f"\u00a0±\u00a0{100 * half:.1f}"
    return _("<b>{}</b>{}", percent(row["mean"]), spread)


def _list(parts: Sequence[Markup]) -> Markup:
    """ "a", "a and b", "a, b and c"."""
    if len(parts) < 2:
        return Markup().join(parts)
    return _("{} and {}", Markup(", ").join(parts[:-1]), parts[-1])
