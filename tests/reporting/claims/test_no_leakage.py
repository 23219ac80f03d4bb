"""Settings are chosen by validation accuracy: whatever the test split says, choices stay."""

import random

import pytest

from fastpipe.reporting.claims.sides import SIDES
from fastpipe.reporting.grids import DEFAULTS, TRIED, TUNED, best

SIMILARITIES = {"a": 0.95, "b": 0.85, "c": 0.75, "d": 0.7, "e": 0.6}

CHOICES = {
    "best": f"WITH {TRIED}, {TUNED} SELECT study, source, target, scratch, recipe FROM best_elr",
    "tuned": f"WITH {TRIED}, {TUNED} SELECT study, source, target, scratch, seed, recipe "
    "FROM tuned",
    "defaults": f"WITH {TRIED}, {DEFAULTS} SELECT study, target, scratch, seed, recipe "
    "FROM defaults",
    "at each rate": f"WITH {TRIED}, {best('chosen', 'momentum', 'elr')} "
    "SELECT study, source, target, scratch, momentum, elr, recipe FROM chosen",
    "by seed": f"WITH {TRIED}, {best('own', 'seed', among='grid')} "
    "SELECT study, source, target, scratch, seed, recipe FROM own",
    "sides": f"WITH {TRIED}, {SIDES} SELECT source, target, side FROM sides",
}


def grid(grids, test) -> None:
    numbers = random.Random(1)
    for source in ("old", "older"):
        grids.similar(source, SIMILARITIES)
    for target in SIMILARITIES:
        for lr in (0.003, 0.01, 0.1):
            for momentum in (0.9, 0.0):
                for decay in (0.005, 0.0):
                    at = {"lr": lr, "momentum": momentum, "weight_decay": decay, "seeds": 3}
                    for source in ("old", "older"):
                        standard = (lr, momentum, decay) == (0.01, 0.9, 0.005)
                        role = "baseline" if standard else "other"
                        val = [numbers.choice((0.5, 0.6, 0.7)) for _ in range(3)]
                        grids.runs(target, source=source, role=role, val=val, test=test(), **at)
                    val = [numbers.choice((0.5, 0.6, 0.7)) for _ in range(3)]
                    grids.runs(target, role="scratch", epoch=0.0, val=val, test=test(), **at)


@pytest.mark.parametrize("choice", CHOICES)
def test_choices_do_not_see_the_test_split(grids, choice):
    grid(grids, random.Random(2).random)
    grids.insert("studies", position=0, name="lab", includes=[])
    ask = f"{CHOICES[choice]} ORDER BY ALL"
    before = grids._connection.execute(ask).fetchall()
    assert before
    for change in ("1 - final_top1", "random()", "val_top1", "NULL"):
        grids.execute(f"UPDATE runs SET final_top1 = {change}")
        assert grids._connection.execute(ask).fetchall() == before
    grids.execute("UPDATE runs SET val_top1 = 1 - val_top1")
    changed = grids._connection.execute(ask).fetchall() != before
    assert changed == (choice not in ("defaults", "sides"))


@pytest.mark.parametrize("claim", ["C3", "C4", "C9"])
def test_claims_about_choices_do_not_see_the_test_split(grids, tmp_path_factory, claim):
    found = []
    for seed in (2, 3):
        laboratory = type(grids)(tmp_path_factory.mktemp("lab"))
        grid(laboratory, random.Random(seed).random)
        (verdicts,) = laboratory.judge(claim)
        laboratory.close()
        found.append(list(verdicts.contrasts.values()))
    assert found[0] == found[1]
    assert found[0][0][0].estimate.value is not None
