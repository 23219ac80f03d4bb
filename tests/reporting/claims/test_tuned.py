"""What is chosen from a grid of settings, and by what."""

import duckdb
import pytest

from fastpipe.reporting.claims.tuned import BEST_ELR, DEFAULTS, GRID, SIDES, TUNED, best


def ask(grids, query: str) -> list[tuple]:
    for position, study in enumerate(grids._studies):
        grids.insert(
            "studies", position=position, name=study, includes=grids._includes.get(study, [])
        )
    return grids._connection.execute(query).fetchall()


def test_the_best_recipe_by_mean_validation_accuracy(grids):
    grids.runs("new", lr=0.01, val=[0.9, 0.5, 0.5, 0.5, 0.5], test=0.1)
    grids.runs("new", lr=0.1, val=0.6, test=0.2)  # best on average, though never the highest
    grids.runs("new", lr=0.3, val=0.4, test=0.9)  # what the test split likes does not matter
    found = ask(grids, f"WITH {TUNED} SELECT elr, final_top1 FROM tuned")
    assert found == [(pytest.approx(1.0), 0.2)] * 5


def test_of_equals_the_smallest_rate_then_the_smallest_decay(grids):
    grids.runs("new", lr=0.1, momentum=0.0, weight_decay=0.0, val=0.6, test=0.2)
    grids.runs("new", lr=0.01, momentum=0.9, weight_decay=0.01, val=0.6, test=0.2)
    grids.runs("new", lr=0.01, momentum=0.9, weight_decay=0.001, val=0.6, test=0.2)
    grids.runs("new", lr=0.3, momentum=0.0, val=0.6, test=0.2)
    found = ask(grids, f'WITH {BEST_ELR} SELECT elr, momentum, "lambda" FROM best_elr')
    assert found == [(0.1, 0.0, 0.0)]


def test_effective_rates_are_equal_though_floats_are_not(grids):
    assert 0.01 / (1 - 0.9) != 0.1
    grids.runs("new", lr=0.01, momentum=0.9, val=0.6, test=0.2)
    grids.runs("new", lr=0.1, momentum=0.0, val=0.6, test=0.2)
    assert ask(grids, f"WITH {GRID} SELECT DISTINCT elr FROM grid") == [(0.1,)]


def test_each_seed_may_choose_for_itself(grids):
    grids.runs("new", lr=0.01, momentum=0.0, val=[0.9, 0.1, None], test=0.1, seeds=3)
    grids.runs("new", lr=0.1, momentum=0.0, val=[0.2, 0.3, 0.4], test=0.2, seeds=3)
    query = f"WITH {GRID}, {best('own', 'seed', among='grid')} FROM own SELECT seed, elr"
    assert sorted(ask(grids, query)) == [(0, 0.01), (1, 0.1), (2, 0.1)]


def test_tried_settings_carry_no_test_result(grids):
    grids.runs("new", val=0.6, test=0.2)
    with pytest.raises(duckdb.BinderException, match="final_top1"):
        ask(grids, f"WITH {GRID} SELECT final_top1 FROM tried")


def test_a_study_uses_its_own_arms_and_those_it_includes(grids):
    grids.runs("new", study="base", role="baseline", val=0.5, test=0.5)
    grids.runs("new", study="scratch", role="scratch", epoch=0.0, lr=0.3, val=0.4, test=0.4)
    grids.runs("new", study="other", lr=0.03, val=0.9, test=0.9)
    grids.includes("scratch", ["base"])
    query = f"""WITH {GRID} SELECT DISTINCT study, epoch, scratch, alpha FROM grid
                ORDER BY study, epoch"""
    assert ask(grids, query) == [
        ("base", 3.0, False, 0.01),
        ("other", 3.0, False, 0.03),
        ("scratch", 0.0, True, 0.3),
        ("scratch", 3.0, False, 0.01),
    ]


def test_fine_tuning_counts_from_the_last_snapshot(grids):
    for epoch in (0.0, 1.0, 3.0):
        grids.runs("new", epoch=epoch, val=0.5, test=0.5)
    grids.runs("new", epoch=0.0, role="scratch", val=0.5, test=0.5)
    query = f"WITH {GRID} SELECT DISTINCT epoch, scratch FROM grid ORDER BY epoch"
    assert ask(grids, query) == [(0.0, True), (3.0, False)]


def test_defaults_are_the_baseline_and_the_first_scratch_arm(grids):
    grids.runs("new", lr=0.3, val=0.9, test=0.5)
    grids.runs("new", lr=0.01, role="baseline", val=0.5, test=0.5)
    grids.runs("new", lr=0.01, val=0.5, test=0.5)  # the same recipe in the grid
    grids.runs("new", lr=0.1, role="scratch", epoch=0.0, val=0.5, test=0.5)
    grids.runs("new", lr=0.01, role="scratch", epoch=0.0, val=0.9, test=0.5)
    query = f"WITH {GRID}, {DEFAULTS} SELECT DISTINCT scratch, alpha FROM defaults ORDER BY ALL"
    assert ask(grids, query) == [(False, 0.01), (True, 0.1)]


def test_the_median_target_is_on_neither_side(grids):
    likeness = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "e": 0.5}
    for target in likeness:
        grids.runs(target, val=0.5, test=0.5)
    grids.similar("old", likeness | {"unused": 0.1})
    found = ask(grids, f"WITH {GRID}, {SIDES} SELECT target, side FROM sides ORDER BY target")
    sides = ["similar", "similar", None, "dissimilar", "dissimilar"]
    assert found == list(zip("abcde", sides, strict=True))
