"""Cross-checks: what no single entry can know, because it is about two of them."""

import re
from collections.abc import Iterator
from pathlib import Path

from fastpipe.config.backbone_names import OURS
from fastpipe.config.classes import class_count, dataset_problems, lost_folders
from fastpipe.config.config import Config, source_channels
from fastpipe.config.dataset import Dataset
from fastpipe.config.expansion import (
    BASE_SCALE,
    BOTH_RATES,
    Target,
    arm_overrides,
    invalid_values,
    parse_snapshot,
    renamed,
    study_targets,
    targets_of,
    values_of,
    variants,
    with_rates,
)
from fastpipe.config.names import STAGES, Snapshot
from fastpipe.config.packed import Packed
from fastpipe.config.problems import nearest
from fastpipe.config.recipe import Recipe
from fastpipe.config.released import backbone_problem, released_problems
from fastpipe.config.source import Source
from fastpipe.config.study import Arm, Override

__all__ = ["cross_check", "exhibit_id"]

Key = tuple[str | int, ...]
Found = Iterator[tuple[Key, str]]

CLAIMS = Path(__file__).parent.parent / "reporting" / "claims"
"""Holds one module for each claim, named after it, for example `a7.py`."""

EXHIBITS = CLAIMS.parent / "exhibits"
"""Holds one module for each exhibit, named after it: `a_f3.py`, `head_norm.py`."""

_LONGEST_NAME = 200
_RULES = {"all", *STAGES}
"""Names of rules, by which Snakemake knows its targets; a study needs another."""


def cross_check(config: Config, broken: set[Key]) -> Found:
    """Yield (key path, message) of every problem between entries.

    `broken` holds the (section, name) of entries, and the (section,) of sections, that failed on
    their own; references to them are not reported as missing.
    """
    yield from _same_name_but_for_case(config)
    elsewhere = {*_of_other_scales(config), *Packed.read().listings}
    for name, dataset in config.datasets.items():
        if 2 * dataset.margin >= dataset.size:
            message = f"a margin of {dataset.margin} px leaves nothing of {dataset.size} px"
            yield ("datasets", name, "margin"), message
        if dataset.view is not None and dataset.view > dataset.size:
            message = f"networks cannot see {dataset.view} px of images of {dataset.size} px"
            yield ("datasets", name, "view"), message
        lost = [] if name in elsewhere else lost_folders(dataset)
        for field, message in (*lost, *dataset_problems(dataset)):
            yield ("datasets", name, *field), message
    for name, source in config.sources.items():
        yield from _source(config, broken, name, source)
    for name, recipe in config.recipes.items():
        for field, message in _recipe(recipe):
            yield ("recipes", name, field), message
    yield from _studies(config, broken)
    for target in study_targets(config).values():
        yield from _scale(config, broken, target)
        yield from _extractors(config, broken, target)
        for name, arm in target.study.arms.items():
            yield from _arm(config, broken, target, name, arm)


def exhibit_id(module: str) -> str:
    """The exhibit that a module holds: those of a paper have a capital letter and a number."""
    name = module.replace("_", "-")
    return name.upper() if re.fullmatch(r"[a-d]-[ft][0-9]+", name) else name


def _missing(config: Config, broken: set[Key], section: str, name: str) -> str | None:
    known = {*getattr(config, section), *(key[1] for key in broken if key[:-1] == (section,))}
    if name in known or (section,) in broken:
        return None
    return f"there is no entry {name!r} in {section}; {nearest(name, known)}"


def _of_other_scales(config: Config) -> frozenset[str]:
    """Datasets that the demo scale does not use: their folders may be on other machines."""
    used: dict[bool, set[str]] = {True: set(), False: set()}
    for target in study_targets(config).values():
        for arm in target.study.arms.values():
            here = used[target.scale_name == BASE_SCALE]
            for text in arm.snapshots:
                ends = targets_of(target.scale, arm, text)
                here |= {target.scale.rename.get(name, name) for name in ends}
                name = renamed(target.scale, text).partition("@")[0]
                passed: set[str] = set()
                while name in config.sources and name not in passed:  # a circle is told elsewhere
                    passed.add(name)
                    source = config.sources[name]
                    here |= {source.dataset} if source.dataset else set()
                    name = (source.start or "").partition("@")[0]
    return frozenset(used[False] - used[True])


def _same_name_but_for_case(config: Config) -> Found:
    for section in ("datasets", "sources", "recipes", "studies"):
        seen: dict[str, str] = {}
        for name in getattr(config, section):
            other = seen.setdefault(name.casefold(), name)
            if other != name:
                yield (section, name), f"differs from {other!r} only in case; both name one folder"


def _source(config: Config, broken: set[Key], name: str, source: Source) -> Found:
    key = ("sources", name)
    for field in ("dataset", "snapshots"):
        if not getattr(source, field) and source.library is None:
            yield (*key, field), "is missing"
    for below, message in released_problems(source):
        yield (*key, *below), message
    if source.dataset and (message := _missing(config, broken, "datasets", source.dataset)):
        yield (*key, "dataset"), message
    if message := backbone_problem(source.backbone.name):
        yield (*key, "backbone", "name"), message
    elif source.dataset in config.datasets:
        yield from _backbone(key, source, config.datasets[source.dataset])
    for index, epoch in enumerate(source.snapshots):
        if source.library is None and not 0 <= epoch <= source.epochs:
            message = f"snapshot {epoch:g} is outside the source's epochs (0 to {source.epochs:g})"
            yield (*key, "snapshots", index), message
    if len(set(source.snapshots)) < len(source.snapshots):
        yield (*key, "snapshots"), f"an epoch is listed twice in {list(source.snapshots)}"
    if message := _milestones(source):
        yield (*key, "milestones"), message
    if source.start is not None:
        yield from _start(config, broken, name, source)


def _backbone(key: Key, source: Source, dataset: Dataset) -> Found:
    name = source.backbone.name
    if name == "lenet5" and dataset.size not in (28, 32):
        message = f"lenet5 takes images of 28 or 32 px; {source.dataset} has {dataset.size}"
        yield (*key, "backbone", "name"), message
    if name not in OURS and dataset.channels != 3:
        message = f"{name} takes 3 channels; set `channels: 3` in dataset {source.dataset}"
        yield (*key, "backbone", "name"), message


def _start(config: Config, broken: set[Key], name: str, source: Source) -> Found:
    key = ("sources", name, "start")
    text = source.start or ""
    origin = text.partition("@")[0]
    if origin == name:
        yield key, f"{name} cannot start from itself"
        return
    if message := _missing(config, broken, "sources", origin):
        yield key, message
        return
    if origin not in config.sources:
        return
    try:
        snapshots = parse_snapshot(config, text)
    except ValueError as error:
        yield key, str(error)
        return
    if len(snapshots) != 1:
        yield key, f"{text!r} means {len(snapshots)} snapshots; name one"
    if config.sources[origin].backbone != source.backbone:
        yield key, f"{origin} has another backbone than {name}"
    for message in _misfit(config, config.sources[origin], source.dataset):
        yield key, message
    if circle := _circle(config, name):
        yield key, f"sources start from each other in a circle: {' → '.join(circle)}"


def _circle(config: Config, name: str) -> list[str] | None:
    """The sources from a source back to one already passed, if they start from each other."""
    passed = [name]
    while name in config.sources and config.sources[name].start:
        name = config.sources[name].start.partition("@")[0]
        if name in passed:
            return [*passed, name]
        passed.append(name)
    return None


def _recipe(recipe: Recipe) -> Iterator[tuple[str, str]]:
    if recipe.momentum_form == "ema" and recipe.optimiser != "sgd":
        yield "momentum_form", f"'ema' is a form of sgd's momentum; optimiser is {recipe.optimiser}"
    yield from _regularisation(recipe)
    if message := _milestones(recipe):
        yield "milestones", message
    if recipe.warmup != "none" and recipe.alpha == 0:
        yield "warmup", f"warm-up {recipe.warmup!r} trains only the head, but alpha is 0"
    if recipe.bn_momentum is not None and recipe.body_mode == "inference":
        message = "means nothing in body_mode inference, which keeps the running statistics"
        yield "bn_momentum", message
    if recipe.alpha == 0 and recipe.beta == 0:
        yield "beta", "alpha and beta are both 0, so nothing would be trained"
    if recipe.alpha == 0 and (
        recipe.head_init == "zeros" or (recipe.head_init == "normal" and recipe.head_sigma == 0)
    ):
        yield "head_init", "a head that starts at 0 and stays there (alpha: 0) learns nothing"


def _regularisation(recipe: Recipe) -> Iterator[tuple[str, str]]:
    if recipe.weight_decay and recipe.effective_weight_decay is not None:
        yield "effective_weight_decay", "weight_decay is set already; set one of the two"
    if recipe.decay_form == "decoupled":
        if recipe.optimiser not in ("sgd", "nesterov"):
            message = f"'decoupled' is for sgd and nesterov; optimiser is {recipe.optimiser}"
            yield "decay_form", message
        elif recipe.momentum_form == "ema":
            yield "decay_form", "'decoupled' is for momentum_form torch, not for ema"
        for part, field, rate, strength in _decays(recipe):
            if rate * strength >= 1:
                message = (
                    f"'decoupled' takes ηλ of the {part} away at each step; with {field} {rate:g} "
                    f"and λ {strength:g} that is {rate * strength:g}, all of it or more. Choose "
                    "less of either"
                )
                yield "decay_form", message
    if recipe.head_weight_decay and recipe.alpha == 0:
        yield "head_weight_decay", "pulls the head, but alpha is 0, so the head stays as it starts"
    pulled = recipe.weight_decay or recipe.effective_weight_decay
    if recipe.regulariser == "l2-sp" and not pulled:
        yield "regulariser", "'l2-sp' without weight_decay (its λ1) pulls the body nowhere"
    if recipe.regulariser == "l2-sp" and recipe.beta == 0:
        yield "regulariser", "'l2-sp' pulls the body to where it started, but beta is 0"


def _decays(recipe: Recipe) -> Iterator[tuple[str, str, float, float]]:
    """Part, field of its rate, the rate at first (its largest), and the part's λ."""
    relative, own = recipe.effective_weight_decay, recipe.head_weight_decay
    for part, field, rate in (("body", "beta", recipe.beta), ("head", "alpha", recipe.alpha)):
        strength = recipe.weight_decay if relative is None else relative * rate
        yield part, field, rate, own if part == "head" and own is not None else strength


def _milestones(trained: Recipe | Source) -> str | None:
    """What is wrong with the milestones of a schedule by steps."""
    if trained.schedule != "step":
        return None
    if not trained.milestones:
        return "schedule 'step' needs milestones; without any the rates are constant"
    if list(trained.milestones) != sorted(set(trained.milestones)):
        return f"must increase: {list(trained.milestones)}"
    return None


def _studies(config: Config, broken: set[Key]) -> Found:
    if not any(section in ("settings", "studies") for section, *_ in broken):
        yield from _default_study(config)
    owners = dict.fromkeys(_RULES, "a rule of the workflow")
    claims = {path.stem.upper() for path in CLAIMS.glob("[a-z][0-9]*.py")}
    exhibits = {exhibit_id(path.stem) for path in EXHIBITS.glob("[a-z]*.py")}
    for name, study in config.studies.items():
        key = ("studies", name)
        for scale in study.scales or {BASE_SCALE: None}:
            target = name if scale == BASE_SCALE else f"{name}-{scale}"
            owner = owners.setdefault(target.casefold(), f"the study {name!r}")
            if owner != f"the study {name!r}":
                yield key, f"the target {target!r} already stands for {owner}"
        for index, included in enumerate(study.includes):
            if message := _missing(config, broken, "studies", included):
                yield (*key, "includes", index), message
            elif name in _all_includes(config, included):
                yield (*key, "includes", index), f"{name} and {included} include each other"
        if not study.arms and not study.includes:
            yield key, "a study needs arms or includes"
        for index, claim in enumerate(study.claims):
            if claim not in claims:
                yield (*key, "claims", index), f"unknown claim {claim!r}; {nearest(claim, claims)}"
        for index, exhibit in enumerate(study.exhibits):
            if exhibit not in exhibits:
                hint = nearest(exhibit, exhibits)
                yield (*key, "exhibits", index), f"unknown exhibit {exhibit!r}; {hint}"


def _default_study(config: Config) -> Found:
    default = config.settings.default_study
    if not config.studies:
        yield ("studies",), "there is no study; declare one, with arms"
    elif default not in study_targets(config):
        hint = nearest(default, study_targets(config))
        yield ("settings", "default_study"), f"there is no study {default!r}; {hint}"


def _all_includes(config: Config, name: str) -> set[str]:
    found: set[str] = set()
    queue = [name]
    while queue:
        current = queue.pop()
        if current not in found and current in config.studies:
            found.add(current)
            queue += config.studies[current].includes
    return found


def _scale(config: Config, broken: set[Key], target: Target) -> Found:
    key = ("studies", target.study_name, "scales", target.scale_name)
    for claim in target.scale.findings:
        if claim not in _claims_judged(config, target.study_name):
            yield (*key, "findings", claim), f"the study does not judge a claim {claim!r}"
    arms = target.study.arms.values()
    sources = {text.partition("@")[0] for arm in arms for text in arm.snapshots}
    extractors = {text.partition("@")[0] for text in target.study.extractors}
    for name, rate in target.scale.rates.items():
        for source in rate if isinstance(rate, dict) else ():
            if source not in sources:
                hint = nearest(source, sources)
                yield (*key, "rates", name, source), f"no arm uses a source {source!r}; {hint}"
    for name in target.scale.arms:
        if name not in target.study.arms:
            hint = nearest(name, target.study.arms)
            yield (*key, "arms", name), f"there is no arm {name!r}; {hint}"
    yield from _scale_targets(target)
    yield from _scale_overrides(target)
    used = {
        "sources": sources | extractors,
        "datasets": {name for arm in arms for name in arm.targets},
    }
    for old, new in target.scale.rename.items():
        sections = [section for section, names in used.items() if old in names]
        for section in sections:
            if message := _missing(config, broken, section, new):
                yield (*key, "rename", old), message
        if not sections:
            hint = nearest(old, used["sources"] | used["datasets"])
            yield (*key, "rename", old), f"no arm uses a source or dataset {old!r}; {hint}"


def _extractors(config: Config, broken: set[Key], target: Target) -> Found:
    """Extractors must be there, and take the images of every source and target of the arms."""
    arms = target.study.arms.values()
    snapshots = [s for arm in arms for text in arm.snapshots
                 for s in _snapshots(config, broken, target, text)[0]]  # fmt: skip
    datasets = [target.scale.rename.get(name, name) for arm in arms for text in arm.snapshots
                for name in targets_of(target.scale, arm, text)]  # fmt: skip
    datasets += [config.sources[s.source].dataset or "" for s in snapshots]
    for index, text in enumerate(target.study.extractors):
        key = ("studies", target.study_name, "extractors", index)
        found, message = _snapshots(config, broken, target, text)
        if message:
            yield key, message
        for source in dict.fromkeys(snapshot.source for snapshot in found):
            for dataset in dict.fromkeys(datasets):
                for message in _misfit(config, config.sources[source], dataset):
                    yield key, message


def _scale_targets(target: Target) -> Found:
    arms = target.study.arms
    sources = {text.partition("@")[0] for arm in arms.values() for text in arm.snapshots}
    for source, chosen in target.scale.targets.items():
        key = ("studies", target.study_name, "scales", target.scale_name, "targets", source)
        if source not in sources:
            yield key, f"no arm uses a source {source!r}; {nearest(source, sources)}"
            continue
        own = {name: arm for name, arm in arms.items()
               if source in {text.partition("@")[0] for text in arm.snapshots}}  # fmt: skip
        targets = {name for arm in own.values() for name in arm.targets}
        for index, name in enumerate(chosen):
            if name not in targets:
                hint = nearest(name, targets)
                yield (*key, index), f"no arm has a target {name!r} from {source}; {hint}"
        for name, arm in own.items():
            if not set(arm.targets) & set(chosen):
                yield key, f"leaves the arm {name!r} no target from {source}"


def _scale_overrides(target: Target) -> Found:
    key = ("studies", target.study_name, "scales", target.scale_name, "overrides")
    targets = {name for arm in target.study.arms.values() for name in arm.targets}
    for field, value in target.scale.overrides.items():
        for name, single in value.items() if isinstance(value, dict) else [(None, value)]:
            place = (*key, field) if name is None else (*key, field, name)
            if name is not None and name not in targets:
                yield place, f"no arm has a target {name!r}; {nearest(name, targets)}"
            for message in _override(Recipe(), field, single):
                yield place, message


def _claims_judged(config: Config, name: str) -> set[str]:
    studies = [config.studies[study] for study in _all_includes(config, name) | {name}]
    return {claim for study in studies for claim in study.claims}


def _override(recipe: Recipe, field: str, value: Override) -> Iterator[str]:
    """What is wrong with an override on its own."""
    fields = {*Recipe.model_fields, BOTH_RATES}
    if field not in fields:
        yield f"recipes have no field {field!r}; {nearest(field, fields)}"
    elif not (values := values_of(field, value)):
        yield "an empty list is a sweep without values"
    elif invalid := list(invalid_values(recipe, field, value)):
        yield from invalid
    elif len(set(values)) < len(values):
        yield f"a value is listed twice in {value}"


def _arm(config: Config, broken: set[Key], target: Target, name: str, arm: Arm) -> Found:
    key = ("studies", target.study_name, "arms", name)
    snapshots: list[tuple[Snapshot, str]] = []
    for index, text in enumerate(arm.snapshots):
        found, message = _snapshots(config, broken, target, text)
        snapshots += [(snapshot, text) for snapshot in found]
        if message:
            yield (*key, "snapshots", index), message
    for index, dataset in enumerate(arm.targets):
        known = dataset in target.scale.rename  # and then reported there
        if not known and (message := _missing(config, broken, "datasets", dataset)):
            yield (*key, "targets", index), message
    if message := _missing(config, broken, "recipes", arm.recipe):
        yield (*key, "recipe"), message
    yield from _arm_recipe(config, target, key, name, arm)
    for source, written in dict.fromkeys((s.source, text) for s, text in snapshots):
        for index, dataset in _ends(target, arm, written):
            for message in _misfit(config, config.sources[source], dataset):
                yield (*key, "targets", index), message


def _ends(target: Target, arm: Arm, snapshot: str) -> list[tuple[int, str]]:
    """Place in the arm's list, and name at the scale, of its targets from a snapshot."""
    chosen = targets_of(target.scale, arm, snapshot)
    return [
        (index, target.scale.rename.get(name, name))
        for index, name in enumerate(arm.targets)
        if name in chosen
    ]


def _snapshots(
    config: Config, broken: set[Key], target: Target, text: str
) -> tuple[list[Snapshot], str | None]:
    """The snapshots that an arm names, and what is wrong with the name."""
    written = text.partition("@")[0]
    text = renamed(target.scale, text)
    source, at, _ = text.partition("@")
    if at and source not in config.sources:
        known = written in target.scale.rename  # and then reported there
        return [], None if known else _missing(config, broken, "sources", source)
    try:
        return parse_snapshot(config, text), None
    except ValueError as error:
        return [], str(error)


def _arm_recipe(config: Config, target: Target, key: Key, name: str, arm: Arm) -> Found:
    base = config.recipes.get(arm.recipe, Recipe())
    valid = not list(_scale_overrides(target))
    found: dict[tuple[Key, str], None] = {}
    for source in dict.fromkeys(text.partition("@")[0] for text in arm.snapshots):
        own = list(_arm_overrides(target, key, name, arm, base, source))
        found |= dict.fromkeys(own)
        if arm.recipe not in config.recipes or not valid or own:
            continue
        for index, dataset in _ends(target, arm, source):
            changes = arm_overrides(target.scale, name, arm, source, arm.targets[index])
            where = ((*key, "targets", index), dataset)
            found |= dict.fromkeys(_arm_variants(config, key, arm.recipe, changes, where))
    yield from found


def _arm_overrides(
    target: Target, key: Key, name: str, arm: Arm, base: Recipe, source: str
) -> Found:
    """What is wrong with an arm's overrides on their own, as they are for one source."""
    of_scale = ("studies", target.study_name, "scales", target.scale_name, "arms", name)
    for place, overrides in (
        ((*key, "overrides"), arm.overrides),
        (of_scale, target.scale.arms.get(name, {})),
    ):
        if BOTH_RATES in overrides and (twice := {"alpha", "beta"} & overrides.keys()):
            yield (*place, min(twice)), f"{BOTH_RATES} sets it already"
        for field, value in overrides.items():
            try:
                changed = with_rates(target.scale, source, {field: value})[field]
            except ValueError as error:
                yield (*place, field), str(error)
                continue
            for message in _override(base, field, changed):
                yield (*place, field), message


def _arm_variants(
    config: Config, key: Key, name: str, changes: dict[str, Override], where: tuple[Key, str]
) -> Found:
    """What is wrong with the variants of an arm on one target (its place and its name)."""
    base = config.recipes[name]
    known = set(_recipe(base))
    for _, variant, recipe in variants(name, base, changes):
        if len(variant) > _LONGEST_NAME:
            message = f"the name {variant[:40]}… has over {_LONGEST_NAME} characters"
            yield (*key, "overrides"), message
        for field, message in _recipe(recipe):
            if (field, message) not in known:
                yield (*key, "overrides", field), f"{variant}: {message}"
        for message in _balance(config, variant, recipe, where[1]):
            yield where[0], message


def _balance(config: Config, variant: str, recipe: Recipe, dataset: str) -> Iterator[str]:
    """Why batches of a dataset cannot be balanced."""
    if dataset not in config.datasets:
        return
    classes = class_count(config.datasets[dataset])
    if classes is not None and classes < 2:
        yield f"{dataset} has {classes} class; a target needs two"
    elif classes and recipe.batches == "balanced" and recipe.batch_size % classes:
        below = max(recipe.batch_size // classes, 1) * classes
        yield (
            f"{variant} has batch_size {recipe.batch_size}, which cannot hold the {classes} "
            f"classes of {dataset} equally; use a multiple of {classes}, for example {below}, or "
            "set batches: shuffled"
        )


def _misfit(config: Config, source: Source, dataset: str) -> Iterator[str]:
    """Why a source's network cannot take the images of a dataset."""
    own, other = config.datasets.get(source.dataset or ""), config.datasets.get(dataset)
    if other is None or (own is None and source.dataset is not None):
        return
    whose = f"the source was trained on {{}} ({source.dataset})" if own else "its weights take {}"
    channels = source_channels(config, source)
    if channels != other.channels:
        yield (
            f"{dataset} has channels: {other.channels}, but "
            f"{whose.format(f'channels: {channels}')}; give both the same"
        )
    if own and own.size != other.size and source.backbone.name == "lenet5":
        yield (
            f"{dataset} has {other.size} px, but lenet5 was trained at {own.size} px "
            f"({source.dataset}); give both the same `size`"
        )
