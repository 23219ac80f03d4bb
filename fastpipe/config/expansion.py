"""A study's arms, sweeps and scales written out: which variant starts where, on what target."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from pydantic import ValidationError

from fastpipe.config.config import Config
from fastpipe.config.explanations import explain
from fastpipe.config.names import Snapshot, variant_name
from fastpipe.config.recipe import Recipe
from fastpipe.config.study import Arm, Override, Scalar, Scale, Study

__all__ = [
    "BASE_SCALE",
    "BOTH_RATES",
    "Runs",
    "Target",
    "arm_overrides",
    "extractors_of",
    "invalid_values",
    "parse_snapshot",
    "renamed",
    "runs_of",
    "study_targets",
    "targets_of",
    "values_of",
    "variants",
    "with_rates",
]

BOTH_RATES = "lr"
"""An override that is no field of a recipe: one rate η for head and body, α = β = η."""

_LISTS = frozenset({"milestones"})
"""Fields of a recipe whose values are lists."""

BASE_SCALE = "demo"
"""The scale that goes by its study's own name."""


@dataclass(frozen=True)
class Target:
    """What can be asked of the graph by name: a study at one scale."""

    name: str
    study_name: str
    study: Study
    scale_name: str
    scale: Scale


@dataclass(frozen=True)
class Runs:
    """All runs of one variant of an arm from one snapshot on one target."""

    label: str
    arm: str
    role: str
    snapshot: Snapshot
    target: str
    variant: str
    recipe: Recipe
    seeds: int


def study_targets(config: Config) -> dict[str, Target]:
    """Studies × scales by target name: `study` is the demo scale, `study-scale` any other."""
    targets: dict[str, Target] = {}
    for name, study in config.studies.items():
        for scale_name, scale in (study.scales or {BASE_SCALE: Scale()}).items():
            target = name if scale_name == BASE_SCALE else f"{name}-{scale_name}"
            targets[target] = Target(target, name, study, scale_name, scale)
    return targets


def parse_snapshot(config: Config, text: str) -> list[Snapshot]:
    """Snapshots meant by `source@epoch`, `source@last` or `source@all`.

    Raises:
        ValueError: with a message for the user, if the text names none.
    """
    source, at, epoch = text.partition("@")
    if not at:
        raise ValueError(f"{text!r} is no snapshot; write source@epoch, for example {text}@last")
    if source not in config.sources:
        raise KeyError(source)
    epochs = sorted(config.sources[source].snapshots)
    if epoch == "all":
        return [Snapshot(source, value) for value in epochs]
    if epoch == "last":
        return [Snapshot(source, epochs[-1])]
    kept = ", ".join(str(Snapshot(source, value)) for value in epochs)
    try:
        value = float(epoch)
    except ValueError:
        raise ValueError(f"{epoch!r} is no epoch; kept snapshots: {kept}") from None
    if value not in epochs:
        raise ValueError(f"{text!r} is not among the source's snapshots ({kept})")
    return [Snapshot(source, value)]


def variants(
    name: str, recipe: Recipe, overrides: dict[str, Override]
) -> Iterator[tuple[str, str, Recipe]]:
    """Expand overrides, lists being sweeps, to (suffix of swept values, variant name, recipe).

    Raises:
        ValidationError: if an overridden recipe is not valid.
    """
    swept = [key for key, value in overrides.items() if _is_sweep(key, value)]
    swept = [rate for key in swept for rate in (("alpha", "beta") if key == BOTH_RATES else (key,))]
    lists = [values_of(key, value) for key, value in overrides.items()]
    base = recipe.model_dump()
    for values in itertools.product(*lists):
        chosen = dict(zip(overrides, values, strict=True))
        if BOTH_RATES in chosen:
            chosen |= dict.fromkeys(("alpha", "beta"), chosen.pop(BOTH_RATES))
        variant = Recipe.model_validate(base | chosen)
        full = variant.model_dump()
        changes = {key: full[key] for key in full if full[key] != base[key]}
        suffix = variant_name("", {key: full[key] for key in swept})
        yield suffix, variant_name(name, changes), variant


def values_of(field: str, value: Override) -> list[Scalar | tuple[Scalar, ...]]:
    """The values of a recipe's field that an override stands for, one for each variant."""
    values = value if _is_sweep(field, value) else [value]
    return [tuple(v) if isinstance(v, list) else v for v in values]


def _is_sweep(field: str, value: Override) -> bool:
    """Whether it is a list of values: of a field that holds a list, a list with lists in it."""
    if not isinstance(value, list):
        return False
    return field not in _LISTS or any(isinstance(member, list) for member in value)


def runs_of(config: Config, target: Target) -> list[Runs]:
    """All runs of a study at a scale, in the order of its arms."""
    return [
        runs for name, arm in target.study.arms.items() for runs in _arm(config, target, name, arm)
    ]


def extractors_of(config: Config, target: Target) -> list[Snapshot]:
    """The snapshots in whose features a study at a scale compares source and target."""
    texts = [renamed(target.scale, text) for text in target.study.extractors]
    return list(dict.fromkeys(s for text in texts for s in parse_snapshot(config, text)))


def _arm(config: Config, target: Target, name: str, arm: Arm) -> Iterator[Runs]:
    scale = target.scale
    seeds = arm.seeds or scale.seeds or target.study.seeds
    recipe = config.recipes[arm.recipe]
    places = {  # where an arm's runs start and end → its variants there, in the order of its sweeps
        (snapshot, scale.rename.get(dataset, dataset)): list(variants(arm.recipe, recipe, changes))
        for text in arm.snapshots
        for snapshot in parse_snapshot(config, renamed(scale, text))
        for dataset in targets_of(scale, arm, text)
        for changes in [arm_overrides(scale, name, arm, _source(text), dataset)]
    }
    for number in range(len(next(iter(places.values())))):
        for (snapshot, dataset), found in places.items():
            suffix, variant, changed = found[number]
            yield Runs(name + suffix, name, arm.role, snapshot, dataset, variant, changed, seeds)


def targets_of(scale: Scale, arm: Arm, snapshot: str) -> list[str]:
    """An arm's targets, as named there, from one of its snapshots at a scale."""
    chosen = scale.targets.get(_source(snapshot), arm.targets)
    return [name for name in arm.targets if name in chosen]


def arm_overrides(
    scale: Scale, name: str, arm: Arm, source: str, target: str
) -> dict[str, Override]:
    """What an arm changes in its recipe from a source on a target (by their names in the arm).

    Raises:
        ValueError: see :func:`with_rates`.
    """
    general = {
        field: value.get(target) if isinstance(value, dict) else value
        for field, value in scale.overrides.items()
    }
    changed = {field: value for field, value in general.items() if value is not None}
    own = arm.overrides | scale.arms.get(name, {})
    return changed | with_rates(scale, source, own)


def _source(snapshot: str) -> str:
    return snapshot.partition("@")[0]


_MULTIPLE = re.compile(r"(?:([0-9.]+(?:e[+-]?[0-9]+)?) +)?([A-Za-z_]+)")


def with_rates(scale: Scale, source: str, overrides: dict[str, Override]) -> dict[str, Override]:
    """Overrides with multiples of named rates (`c`, `0.2 c`) worked out for a source.

    Args:
        scale: declares the rates.
        source: the source's name as the arm has it.
        overrides: an arm's.

    Raises:
        ValueError: with a message for the user, if a text is no multiple or its rate is unknown.
    """

    def number(value: Scalar | list[Scalar]) -> Scalar | list[Scalar]:
        return _multiple(scale, source, value) if isinstance(value, str) else value

    return {
        field: ([number(v) for v in value] if isinstance(value, list) else number(value))
        if field in ("alpha", "beta", BOTH_RATES)
        else value
        for field, value in overrides.items()
    }


def _multiple(scale: Scale, source: str, text: str) -> float:
    match = _MULTIPLE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"must be a number, or a multiple of a rate such as `0.2 c`; found {text!r}"
        )
    factor, name = match.groups()
    rate = scale.rates.get(name)
    if isinstance(rate, dict):
        rate = rate.get(source)
    if rate is None:
        raise ValueError(f"the scale declares no rate {name!r} for {source} (`rates` of the scale)")
    # Multiplied as decimal numbers: 3 × 0.1 is 0.3, in the variant's name too.
    return float(Decimal(factor or "1") * Decimal(repr(rate)))


def renamed(scale: Scale, snapshot: str) -> str:
    """A snapshot's text with its source replaced by the one that stands for it at a scale."""
    source, at, epoch = snapshot.partition("@")
    return f"{scale.rename.get(source, source)}{at}{epoch}"


def invalid_values(recipe: Recipe, field: str, value: Override) -> Iterator[str]:
    """What is wrong with an override of a recipe's field, each value of a sweep on its own."""
    field = "alpha" if field == BOTH_RATES else field
    for single in values_of(field, value):
        try:
            Recipe.model_validate(recipe.model_dump() | {field: single})
        except ValidationError as error:
            yield from (message for _, message in explain(error, Recipe))
