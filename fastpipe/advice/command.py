"""`fastpipe advise`: a learning rate and a recipe for someone's images, with the evidence."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastpipe.advice.cautions import cautions
from fastpipe.advice.collected import Knowledge, knowledge
from fastpipe.advice.evaluation import PREDICTORS, advise, references
from fastpipe.advice.measuring import Measured, measure, preparation, with_folder
from fastpipe.advice.predictors import Prediction
from fastpipe.advice.regret import in_words, mean_regret, of_predictor
from fastpipe.config.config import Config
from fastpipe.config.names import RESULTS, Snapshot
from fastpipe.config.plan import Plan
from fastpipe.config.problems import nearest as nearest_name
from fastpipe.config.recipe import Recipe
from fastpipe.errors import UserError, printable
from fastpipe.files import write_bytes, write_json
from fastpipe.reporting.drawing.transferability import SCORES

__all__ = ["RULE", "Advice", "give_advice", "make_advice"]

_NEAREST = 3
"""Reference targets whose curves are shown."""

RULE = "nearest"
"""The rule that recipes follow, the paper's: fixed beforehand, so that the regrets quoted with a
recipe had no part in choosing it."""

SHOWN = (RULE, "regression")
"""Rules whose ranges are shown."""


@dataclass(frozen=True)
class Advice:
    """What is advised, and why."""

    name: str
    """Of the dataset."""
    images: str
    """Where it comes from."""
    preparation: str
    """How they were prepared, in words."""
    study: str
    source: str
    similarity: float
    scores: list[dict[str, Any]]
    """Of each score of transferability: `score`, `value` and, by target, `references`."""
    references: list[dict[str, Any]]
    """Reference targets, the nearest first: target, similarity, best effective rate, and `curve`:
    best validation accuracy at each effective rate."""
    predictions: dict[str, Prediction]
    """By rule."""
    rule: str
    """The rule that the recipe follows: always `RULE`."""
    recipe: dict[str, Any]
    """Fields of the nearest reference's recipe that are not a recipe's defaults, and its rates and
    momentum."""
    regrets: dict[str, dict[str, Any]]
    """Leave-one-target-out over all sources of the study: by predictor, `unseen` and `searched`."""
    verdict: list[str]
    """What the regrets say of that rule, in words."""
    cautions: list[str]
    """Why the prediction may be worse than they say; usually none."""

    @property
    def recipe_yaml(self) -> str:
        """The recipe as an entry of a configuration file."""
        lines = [f"    {key}: {json.dumps(value)}" for key, value in self.recipe.items()]
        return "\n".join(["recipes:", f"  {self.name}:", *lines])


def give_advice(
    config: Config,
    source: str,
    *,
    images: Path | None,
    dataset: str | None,
    study: str | None,
    out: Path | None,
    skip_corrupt: bool = False,
) -> None:
    """Measure, predict, print; write `advice.json` and `advice.html` into `out`.

    Args:
        config: the configuration.
        source: name of the source.
        images: a folder with a subfolder for each class; or else
        dataset: the name of a declared dataset.
        study: whose grid to learn from; default: the collected one that knows the source best.
        out: default: `results/advice/<name of the dataset>`.
        skip_corrupt: whether unreadable images of the folder are left out.

    Raises:
        UserError: unknown names, unusable images, no grid from the source, or outdated results.
    """
    if (images is None) == (dataset is None):
        raise UserError("give either --images FOLDER or --dataset NAME, the images to advise on")
    if skip_corrupt and images is None:
        raise UserError(
            f"--skip-corrupt is for --images; set `skip_corrupt: true` in the dataset {dataset}"
        )
    plan = Plan(config)
    known = knowledge(plan, source, study)
    if images is not None:
        config, name = with_folder(config, source, images, skip_corrupt)
    else:
        name = dataset
        if name not in config.datasets:
            raise UserError(f"there is no dataset {name!r}; {nearest_name(name, config.datasets)}")
    if name in known.grid.targets:
        print(f"{name} is a target of {known.study} itself: it is left out of what is known.")
        known = known.without(name)
    prepared = preparation(config, name, source if images is not None else None)
    print(printable(prepared))
    measured = _measured(Plan(config), known, name, of_folder=images is not None)
    advice = make_advice(known, name, str(images or name), prepared, measured)
    print("\n" + printable(_text(advice)))
    folder = out or RESULTS / "advice" / name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "advice.json", _tidy(asdict(advice) | {"yaml": advice.recipe_yaml}))
    from fastpipe.advice.page import advice_page  # altair takes its time

    write_bytes(folder / "advice.html", advice_page(advice, known).encode())
    print(printable(f"\nWritten to {folder / 'advice.json'} and {folder / 'advice.html'}."))


def _measured(plan: Plan, known: Knowledge, name: str, *, of_folder: bool) -> Measured:
    snapshot = Snapshot(known.grid.source, known.grid.epoch)
    downloads = Path(plan.config.settings.downloads).expanduser()
    try:
        return measure(
            plan, snapshot, name, known.study, downloads, lambda text: print(text, flush=True)
        )
    except UserError as error:
        if not of_folder:
            raise
        # A folder has no entry in a configuration to set it in.
        hint = str(error).replace("set `skip_corrupt: true`", "give --skip-corrupt")
        raise UserError(hint) from None


def make_advice(
    known: Knowledge, name: str, images: str, prepared: str, measured: Measured
) -> Advice:
    """The advice that follows from what is known and what was measured of the new images."""
    grid, similarity = known.grid, measured.similarity
    predictions = {rule: advise(grid, similarity)[rule] for rule in SHOWN}
    regrets = {
        predictor: {
            "unseen": asdict(mean_regret(of_predictor(known.rows, predictor, False))),
            "searched": asdict(mean_regret(of_predictor(known.rows, predictor, True))),
        }
        for predictor in PREDICTORS
    }
    nearest = _references(known, similarity)
    # Steps and batch size may differ from target to target: those of the nearest reference.
    recipes = grid.recipes[grid.targets.index(nearest[0]["target"])]
    chosen = recipes[grid.recommended(predictions[RULE].point)]
    return Advice(
        name, images, prepared, known.study, grid.source, similarity,
        _scores(known, measured.scores), nearest, predictions, RULE,
        _fields(known.recipes[chosen]), regrets, in_words(known.rows, RULE),
        cautions(grid, similarity),
    )  # fmt: skip


def _scores(known: Knowledge, values: dict[str, float]) -> list[dict[str, Any]]:
    theirs = {score: {} for score in values}
    for row in known.scores:
        theirs.setdefault(row["score"], {})[row["target"]] = row["value"]
    return [
        {"score": score, "value": value, "references": theirs[score]}
        for score, value in values.items()
    ]


def _references(known: Knowledge, similarity: float) -> list[dict[str, Any]]:
    grid = known.grid
    found = []
    for place, reference in enumerate(references(grid)):
        curve: dict[float, float] = {}
        for point, accuracy in zip(grid.points, grid.val[place], strict=True):
            curve[point.elr] = max(curve.get(point.elr, 0.0), float(accuracy))
        steps = [{"elr": elr, "val": curve[elr]} for elr in sorted(curve)]
        found.append(reference._asdict() | {"curve": steps})
    return sorted(found, key=lambda one: (abs(one["similarity"] - similarity), one["target"]))


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    """A recipe's own fields, rates and momentum always: η = ELR · (1 − m) is in them."""
    stored = {key: value for key, value in row.items() if key in Recipe.model_fields}
    recipe = Recipe.model_validate({k: v for k, v in stored.items() if v is not None}, strict=False)
    always = ("alpha", "beta", "momentum")
    changed = recipe.model_dump(mode="json", exclude_defaults=True)
    whole = recipe.model_dump(mode="json")
    return {key: whole[key] for key in whole if key in changed or key in always}


def _tidy(value: Any) -> Any:
    """For JSON: 0.3 instead of 0.29999999999999993, null for what is no number."""
    if isinstance(value, dict):
        return {key: _tidy(own) for key, own in value.items()}
    if isinstance(value, list):
        return [_tidy(own) for own in value]
    if isinstance(value, float):
        return float(f"{value:.10g}") if math.isfinite(value) else None
    return value


# --- as text --------------------------------------------------------------------------------------


def _text(advice: Advice) -> str:
    """What is printed."""
    shown = advice.references[:_NEAREST]
    worth = "\n".join(_regret_line(*one) for one in advice.regrets.items())
    verdict = "\n".join(f"- {sentence}" for sentence in advice.verdict)
    similarity = f"Similarity to the source: {advice.similarity:.4f} (1 = identical)"
    parts = [
        f"Advice for {advice.images}, from {advice.source} (study {advice.study})",
        "\n".join([similarity, *advice.cautions]),
        "Nearest reference targets, and their best validation accuracy [%] by effective learning\n"
        "rate (ELR = η / (1 − m)); * the best, by which the ranges below are predicted\n"
        + "\n".join([_curve_head(shown[0]), *map(_curve_line, shown)]),
        _score_lines(advice),
        "Predicted ELR\n"
        + "\n".join(_prediction_line(rule, one) for rule, one in advice.predictions.items()),
        f"Recommended recipe, by {PREDICTORS[advice.rule]} (always: the regrets below have no part "
        f"in it)\n\n{advice.recipe_yaml}",
        "What such advice was worth where each target of the study was left out once: points of\n"
        "test accuracy lost against the full grid, with 95 % intervals (Student’s t over targets)\n"
        f"  {'':<22} {'one recipe, unseen':<22} range searched\n{worth}",
        f"So, of {PREDICTORS[advice.rule]}:\n{verdict}",
    ]
    return "\n\n".join(parts)


def _curve_head(one: dict[str, Any]) -> str:
    rates = "".join(f"{step['elr']:>7g}" for step in one["curve"])
    return f"  {'target':<20} similarity {rates}"


def _curve_line(one: dict[str, Any]) -> str:
    cells = "".join(
        f"{100 * step['val']:>6.1f}{'*' if step['elr'] == one['elr'] else ' '}"
        for step in one["curve"]
    )
    return f"  {one['target']:<20} {one['similarity']:^10.4f} {cells}"


def _score_lines(advice: Advice) -> str:
    """A line for each score: of the new images, and of the nearest references that have it."""
    near = [one["target"] for one in advice.references[:_NEAREST]]
    near = [target for target in near if target in advice.scores[0]["references"]]
    heads = "".join(f" {target:>12}" for target in ("yours", *near))
    lines = [f"  {'':<22}{heads}"]
    for one in advice.scores:
        values = (one["value"], *(one["references"].get(target) for target in near))
        lines.append(f"  {SCORES[one['score']]:<22}{''.join(map(_score_cell, values))}")
    title = "Scores of transferability, from the source's features (larger is better)"
    return "\n".join([title, *lines])


def _score_cell(value: float | None) -> str:
    return f" {'–' if value is None else f'{value:.3f}':>12}"


def _prediction_line(rule: str, one: Prediction) -> str:
    return f"  {PREDICTORS[rule]:<22} {one.low:.2g} to {one.high:.2g}, say {one.point:.2g}"


def _regret_line(predictor: str, both: dict[str, dict[str, Any]]) -> str:
    cells = [
        f"{_points(one['mean'])} ({_points(one['low'])} to {_points(one['high'])})"
        for one in both.values()
    ]
    return f"  {PREDICTORS[predictor]:<22} {cells[0]:<22} {cells[1]}"


def _points(fraction: float) -> str:
    return f"{round(100 * fraction, 1) + 0.0:.1f}"  # never -0.0
