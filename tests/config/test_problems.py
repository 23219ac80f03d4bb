import itertools
import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from fastpipe.config.backbone_names import BACKBONES
from fastpipe.config.config import SECTIONS
from fastpipe.config.dataset import FolderProvider, PackageProvider
from fastpipe.config.explanations import explain
from fastpipe.config.problems import ConfigurationError, Place, Problem, nearest
from fastpipe.config.recipe import Recipe
from fastpipe.config.study import Arm, Scale

# --- the nearest name ---------------------------------------------------------------------------


def test_nearest() -> None:
    assert nearest("alhpa", ["alpha", "beta"]) == "did you mean 'alpha'?"
    assert nearest("ALPHA", ["alpha", "Beta"]) == "did you mean 'alpha'?"
    assert nearest("beta", ["alpha", "BETA"]) == "did you mean 'BETA'?"
    assert nearest("xyz", ["b", "a"]) == "valid: a, b"
    assert nearest("xyz", map(str, range(10))) == "valid: 0, 1, 2, 3, 4, 5, 6, 7, …"
    assert nearest("xyz", []) == "there are none"


def edits(word: str) -> Iterator[str]:
    """All texts one slip away: a letter left out, added, mistaken, or two exchanged."""
    letters = string.ascii_lowercase + string.digits + "_-"
    cuts = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    yield from (a + b[1:] for a, b in cuts if b)
    yield from (a + c + b for a, b in cuts for c in letters)
    yield from (a + c + b[1:] for a, b in cuts if b for c in letters)
    yield from (a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1)


def typos(valid: set[str]) -> list[tuple[str, str]]:
    """(typo, meant word), without texts that are themselves valid."""
    return sorted(
        {(typo, word) for word in valid for typo in edits(word)} - {(w, w) for w in valid}
    )


def counted_right(valid: set[str], most: int, seeded: random.Random) -> tuple[int, int]:
    """Generated typos for which the word that was meant is suggested, and all."""
    pairs = [(typo, word) for typo, word in typos(valid) if typo and typo not in valid]
    pairs = seeded.sample(pairs, min(most, len(pairs)))
    right = sum(nearest(typo, valid) == f"did you mean {word!r}?" for typo, word in pairs)
    return right, len(pairs)


MODELS = [*SECTIONS.values(), Arm, Scale, FolderProvider, PackageProvider]


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    "names",
    [
        *(pytest.param(set(model.model_fields), id=model.__name__) for model in MODELS),
        pytest.param(set(SECTIONS), id="sections"),
        pytest.param(set(BACKBONES), id="backbones"),
        pytest.param({"sgd", "nesterov", "adam", "radam"}, id="optimisers"),
        pytest.param({"mnist-cnn", "mnist-cnn-wide", "cifar-resnet18"}, id="sources"),
    ],
)
def test_the_right_name_is_suggested_for_a_typo(names: set[str], tally) -> None:
    right, count = counted_right(names, tally.times(400, 4000), tally.random)
    tally.add("typos", count)
    tally.add("right suggestions", right)
    assert right >= 0.95 * count


@pytest.mark.fault(26)
def test_mistyped_keys_are_told_with_the_right_suggestion() -> None:
    pairs = random.Random(1).sample(typos(set(Recipe.model_fields)), 60)
    right = 0
    for typo, word in pairs:
        error = refused(Recipe, {typo: 1})
        ((path, message),) = explain(error, Recipe)
        assert path == (typo,)
        right += message == f"unknown key; did you mean {word!r}?"
    assert right >= 0.95 * len(pairs)


def refused(model: type[BaseModel], entry: dict) -> Exception:
    with pytest.raises(ValueError) as raised:
        model.model_validate(entry)
    return raised.value


# --- the list of problems -----------------------------------------------------------------------


def problem(file: str, line: int, column: int, *key: str | int) -> Problem:
    return Problem(Place(Path(file), line, column), key, "is wrong")


def test_a_problem_reads_as_place_key_and_message() -> None:
    assert (
        str(problem("a.yaml", 3, 5, "recipes", "fast", 0)) == "a.yaml:3:5: recipes.fast.0: is wrong"
    )
    assert str(problem("a.yaml", 0, 1)) == "a.yaml: is wrong"


def test_problems_are_listed_once_each_by_file_line_and_column() -> None:
    ordered = [
        problem("a.yaml", 0, 1),
        problem("a.yaml", 2, 9, "x"),
        problem("a.yaml", 2, 10, "x"),
        problem("a.yaml", 10, 1, "y"),
        problem("b.yaml", 1, 1, "z"),
    ]
    for shuffled in itertools.permutations(ordered):
        assert ConfigurationError([*shuffled, *shuffled]).problems == ordered
    assert (
        str(ConfigurationError(ordered[:1]))
        == "The configuration has 1 problem:\n  a.yaml: is wrong"
    )
    assert str(ConfigurationError(ordered[3:])) == (
        "The configuration has 2 problems:\n  a.yaml:10:1: y: is wrong\n  b.yaml:1:1: z: is wrong"
    )
