"""What a job has to do, counted from its declaration."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fastpipe.forecast.networks import network_of
from fastpipe.forecast.sizes import NotCountedError, Sizes
from fastpipe.training.protocol import deployment_steps, validation_steps

__all__ = ["Facts", "Work", "work_of"]


class Work(NamedTuple):
    """Amounts whose costs add up to a job's time."""

    jobs: float = 1
    """What it takes to start and to finish."""
    runs: float = 0
    """Runs of a pack, or states, each of which is opened and hashed."""
    steps: float = 0
    """Optimiser updates."""
    passes: float = 0
    """Passes over a whole split."""
    images: float = 0
    """Images that are read, and pass through the network or are decoded."""
    tmacs: float = 0
    """10¹² multiplications with additions; an image that is trained on counts three times."""


class Facts(NamedTuple):
    """What a declaration leaves open."""

    sizes: Callable[[str], Sizes]
    """Of a dataset's splits."""
    side: Callable[[str], int]
    """Pixels of a side of a dataset's images, of which networks may see the middle alone."""
    recipe: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    """Recipe of a pack, by the spec of its deployment."""
    before: Callable[[Mapping[str, Any]], float]
    """Epoch that a snapshot continues from, by its spec."""


def work_of(stage: str, spec: Mapping[str, Any], facts: Facts) -> Work | None:
    """The work of a job; None if it depends on a dataset whose size is not known yet."""
    count = _COUNTS.get(stage)
    try:
        return count(spec, facts) if count else Work()
    except NotCountedError:
        return None


def _prepare(spec: Mapping[str, Any], facts: Facts) -> Work:
    sizes = facts.sizes(spec["dataset"]).counted()
    return Work(images=sizes.train + sizes.val + sizes.test)


def _pretrain(spec: Mapping[str, Any], facts: Facts) -> Work:
    if spec.get("library"):
        return Work()
    sizes, epochs = facts.sizes(spec["dataset"]).counted(), spec["epoch"] - facts.before(spec)
    trained, validated = epochs * sizes.train, (epochs + 1) * sizes.val
    tmacs = _tmacs(spec, facts.side(spec["dataset"]))
    steps = trained / spec["batch_size"]
    return Work(1, 1, steps, epochs + 1, trained + validated, (3 * trained + validated) * tmacs)


def _features(spec: Mapping[str, Any], facts: Facts) -> Work:
    sizes = facts.sizes(spec["dataset"]).counted()
    images = sizes.train + sizes.val
    return Work(1, 1, 0, 2, images, images * _tmacs(spec, facts.side(spec["dataset"])))


def _finetune(spec: Mapping[str, Any], facts: Facts) -> Work:
    recipe, runs = spec["recipe"], len(spec["seeds"])
    sizes, steps = facts.sizes(spec["target"]).counted(), recipe["steps"]
    tmacs = _tmacs(spec, facts.side(spec["target"]))
    batch = recipe["batch_size"]
    if recipe.get("batches") == "shuffled":
        batch = min(batch, sizes.train)
    passes = len(validation_steps(steps, recipe.get("protocol", "anytime")))
    trained, validated = steps * batch, passes * sizes.val
    if recipe["beta"] > 0:
        cost = 3 * trained + validated
    elif recipe.get("body_mode") == "train":
        cost = trained + validated
    else:  # on cached features
        trained, validated = 0, 0
        cost = (sizes.train + sizes.val) / runs
    images = runs * (trained + validated) + sizes.train
    return Work(1, runs, runs * steps, runs * passes, images, runs * cost * tmacs)


def _deploy(spec: Mapping[str, Any], facts: Facts) -> Work:
    return _states(spec, facts, spec["target"])


def _forgetting(spec: Mapping[str, Any], facts: Facts) -> Work:
    return _states(spec, facts, spec["source_dataset"])


def _states(spec: Mapping[str, Any], facts: Facts, dataset: str) -> Work:
    """Deployed states at most: one for each seed and deployment checkpoint."""
    recipe = facts.recipe(spec)
    steps = deployment_steps(recipe["steps"], recipe.get("protocol", "anytime"))
    states = len(spec["seeds"]) * len(steps)
    images = states * facts.sizes(dataset).counted().test
    return Work(1, states, 0, states, images, images * _tmacs(spec, facts.side(dataset)))


def _collect(spec: Mapping[str, Any], facts: Facts) -> Work:
    return Work(runs=len(spec["packs"]))


def _tmacs(spec: Mapping[str, Any], side: int) -> float:
    """10¹² multiplications of one image; 0 for a network that is not known."""
    network = network_of(spec["backbone"], spec["channels"])
    return network.gmacs_at(side) / 1e3 if network else 0.0


_COUNTS = {
    "prepare": _prepare,
    "pretrain": _pretrain,
    "features": _features,
    "finetune": _finetune,
    "deploy": _deploy,
    "forgetting": _forgetting,
    "collect": _collect,
}
