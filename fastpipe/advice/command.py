"""`fastpipe advise`: a learning rate and a recipe for someone's images, with the evidence."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastpipe.advice.collected import Knowledge, knowledge
from fastpipe.advice.evaluation import PREDICTORS, advise, references
from fastpipe.advice.grid import Grid
from fastpipe.advice.measuring import measure_similarity, with_folder
from fastpipe.advice.predictors import Prediction
from fastpipe.advice.regret import in_words, mean_regret, of_predictor
from fastpipe.config.config import Config
from fastpipe.config.names import RESULTS, Snapshot
from fastpipe.config.plan import Plan
from fastpipe.config.problems import nearest as nearest_name
from fastpipe.config.recipe import Recipe
from fastpipe.errors import UserError
from fastpipe.files import write_bytes, write_json

__all__ = ["Advice", "give_advice", "make_advice"]

_NEAREST = 3
"""Reference targets whose curves are shown."""

RULES = ("nearest", "regression")


@dataclass(frozen=True)
class Advice:
    """What is advised, and why."""

    name: str
    """Of the dataset."""
    images: str
    """Where it comes from."""
    study: str
    source: str
    similarity: float
    references: list[dict[str, Any]]
    """Reference targets, the nearest first: target, similarity, best effective rate, and `curve`:
    best validation accuracy at each effective rate."""
    predictions: dict[str, Prediction]
    """By rule."""
    rule: str
    """The rule that the recipe follows: the one with the smaller regret without a search."""
    recipe: dict[str, Any]
    """Fields of the recipe that are not a recipe's defaults, and its rates and momentum."""
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
) -> None:
    """Measure, predict, print; write `advice.json` and `advice.html` into `out`.

    Args:
        config: the configuration.
        source: name of the source.
        images: a folder with a subfolder for each class; or else
        dataset: the name of a declared dataset.
        study: whose grid to learn from; default: the collected one that knows the source best.
        out: default: `results/advice/<name of the dataset>`.

    Raises:
        UserError: unknown names, unusable images, no grid from the source, or outdated results.
    """
    if (images is None) == (dataset is None):
        raise UserError("give either --images FOLDER or --dataset NAME, the images to advise on")
    plan = Plan(config)
    known = knowledge(plan, source, study)
    if images is not None:
        config, name = with_folder(config, source, images)
    else:
        name = dataset
        if name not in config.datasets:
            raise UserError(f"there is no dataset {name!r}; {nearest_name(name, config.datasets)}")
    if name in known.grid.targets:
        print(f"{name} is a target of {known.study} itself: it is left out of what is known.")
        known = known.without(name)
    similarity = measure_similarity(
        Plan(config), Snapshot(source, known.grid.epoch), name, known.study,
        Path(config.settings.downloads).expanduser(),
        lambda text: print(text, flush=True),
    )  # fmt: skip
    advice = make_advice(known, name, str(images or name), similarity)
    print("\n" + _text(advice))
    folder = out or RESULTS / "advice" / name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "advice.json", asdict(advice) | {"yaml": advice.recipe_yaml})
    from fastpipe.advice.page import advice_page  # altair takes its time

    write_bytes(folder / "advice.html", advice_page(advice, known).encode())
    print(f"\nWritten to {folder / 'advice.json'} and {folder / 'advice.html'}.")


def make_advice(known: Knowledge, name: str, images: str, similarity: float) -> Advice:
    """The advice that follows from what is known and the similarity of the new images."""
    grid = known.grid
    predictions = {rule: advise(grid, similarity)[rule] for rule in RULES}
    regrets = {
        predictor: {
            "unseen": asdict(mean_regret(of_predictor(known.rows, predictor, False))),
            "searched": asdict(mean_regret(of_predictor(known.rows, predictor, True))),
        }
        for predictor in PREDICTORS
    }
    rule = min(RULES, key=lambda one: regrets[one]["unseen"]["mean"])
    chosen = grid.recommended(predictions[rule].point)
    return Advice(
        name, images, known.study, grid.source, similarity, _references(known, similarity),
        predictions, rule, _fields(known.recipes[grid.recipes[0][chosen]]), regrets,
        in_words(known.rows, rule), _cautions(grid, similarity),
    )  # fmt: skip


def _cautions(grid: Grid, similarity: float) -> list[str]:
    low, high = float(grid.similarity.min()), float(grid.similarity.max())
    if low <= similarity <= high:
        return []
    side, end = ("more", high) if similarity > high else ("less", low)
    return [
        f"Caution: your images are {side} similar to the source than any reference ({end:.3f}), "
        "so this is an extrapolation."
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


# --- as text --------------------------------------------------------------------------------------


def _text(advice: Advice) -> str:
    """What is printed."""
    shown = advice.references[:_NEAREST]
    worth = "\n".join(_regret_line(*one) for one in advice.regrets.items())
    verdict = "\n".join(f"- {sentence}" for sentence in advice.verdict)
    similarity = f"Similarity to the source: {advice.similarity:.3f} (1 = identical)"
    parts = [
        f"Advice for {advice.images}, from {advice.source} (study {advice.study})",
        "\n".join([similarity, *advice.cautions]),
        "Nearest reference targets, and their best validation accuracy [%] by effective learning\n"
        "rate (ELR = η / (1 − m)); * the best, by which the ranges below are predicted\n"
        + "\n".join([_curve_head(shown[0]), *map(_curve_line, shown)]),
        "Predicted ELR\n"
        + "\n".join(_prediction_line(rule, one) for rule, one in advice.predictions.items()),
        f"Recommended recipe (by {PREDICTORS[advice.rule]})\n\n{advice.recipe_yaml}",
        "What such advice was worth where each target of the study was left out once: points of\n"
        "test accuracy lost against the full grid, with 95 % intervals\n"
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
    return f"  {one['target']:<20} {one['similarity']:^10.3f} {cells}"


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
