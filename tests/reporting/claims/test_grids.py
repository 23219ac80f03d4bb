"""What is chosen from a grid of settings, and by what."""

import duckdb
import pytest

from fastpipe.reporting.grids import DEFAULTS, OWN_GRID, TRIED, TUNED, best


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
    found = ask(grids, f"WITH {TRIED}, {TUNED} SELECT elr, final_top1 FROM tuned")
    assert found == [(pytest.approx(1.0), 0.2)] * 5


def test_of_equals_the_smallest_rate_then_the_smallest_decay(grids):
    grids.runs("new", lr=0.1, momentum=0.0, weight_decay=0.0, val=0.6, test=0.2)
    grids.runs("new", lr=0.01, momentum=0.9, weight_decay=0.01, val=0.6, test=0.2)
    grids.runs("new", lr=0.01, momentum=0.9, weight_decay=0.001, val=0.6, test=0.2)
    grids.runs("new", lr=0.3, momentum=0.0, val=0.6, test=0.2)
    found = ask(grids, f'WITH {TRIED}, {TUNED} SELECT elr, momentum, "lambda" FROM best_elr')
    assert found == [(0.1, 0.0, 0.0)]


def test_effective_rates_are_equal_though_floats_are_not(grids):
    assert 0.01 / (1 - 0.9) != 0.1
    grids.runs("new", lr=0.01, momentum=0.9, val=0.6, test=0.2)
    grids.runs("new", lr=0.1, momentum=0.0, val=0.6, test=0.2)
    assert ask(grids, f"WITH {TRIED} SELECT DISTINCT elr FROM grid") == [(0.1,)]


def test_each_seed_may_choose_for_itself(grids):
    grids.runs("new", lr=0.01, momentum=0.0, val=[0.9, 0.1, None], test=0.1, seeds=3)
    grids.runs("new", lr=0.1, momentum=0.0, val=[0.2, 0.3, 0.4], test=0.2, seeds=3)
    query = f"WITH {TRIED}, {best('own', 'seed', among='grid')} FROM own SELECT seed, elr"
    assert sorted(ask(grids, query)) == [(0, 0.01), (1, 0.1), (2, 0.1)]


def test_what_is_chosen_carries_no_test_result(grids):
    grids.runs("new", val=0.6, test=0.2)
    with pytest.raises(duckdb.BinderException, match="final_top1"):
        ask(grids, f"WITH {TRIED}, {best('chosen')} SELECT final_top1 FROM chosen")


def test_a_study_uses_its_own_arms_and_those_it_includes(grids):
    grids.runs("new", study="base", role="baseline", val=0.5, test=0.5)
    grids.runs("new", study="scratch", role="scratch", epoch=0.0, lr=0.3, val=0.4, test=0.4)
    grids.runs("new", study="other", lr=0.03, val=0.9, test=0.9)
    grids.includes("scratch", ["base"])
    query = f"""WITH {TRIED} SELECT DISTINCT study, epoch, scratch, alpha FROM grid
                ORDER BY study, epoch"""
    assert ask(grids, query) == [
        ("base", 3.0, False, 0.01),
        ("other", 3.0, False, 0.03),
        ("scratch", 0.0, True, 0.3),
        ("scratch", 3.0, False, 0.01),
    ]


def test_arms_that_a_study_declares_itself(grids):
    grids.runs("new", study="base", val=0.5, test=0.5)
    grids.runs("new", study="scratch", role="scratch", epoch=0.0, lr=0.3, val=0.4, test=0.4)
    grids.includes("scratch", ["base"])
    query = f"WITH {OWN_GRID} SELECT DISTINCT study, scratch FROM grid ORDER BY study"
    assert ask(grids, query) == [("base", False), ("scratch", True)]


def test_fine_tuning_counts_from_the_last_snapshot(grids):
    for epoch in (0.0, 1.0, 3.0):
        grids.runs("new", epoch=epoch, val=0.5, test=0.5)
    grids.runs("new", epoch=0.0, role="scratch", val=0.5, test=0.5)
    query = f"WITH {TRIED} SELECT DISTINCT epoch, scratch FROM grid ORDER BY epoch"
    assert ask(grids, query) == [(0.0, True), (3.0, False)]


def test_defaults_are_the_baseline_and_the_first_scratch_arm(grids):
    grids.runs("new", lr=0.3, val=0.9, test=0.5)
    grids.runs("new", lr=0.01, role="baseline", val=0.5, test=0.5)
    grids.runs("new", lr=0.01, val=0.5, test=0.5)  # the same recipe in the grid
    grids.runs("new", lr=0.1, role="scratch", epoch=0.0, val=0.5, test=0.5)
    grids.runs("new", lr=0.01, role="scratch", epoch=0.0, val=0.9, test=0.5)
    query = f"WITH {TRIED}, {DEFAULTS} SELECT DISTINCT scratch, alpha FROM defaults ORDER BY ALL"
    assert ask(grids, query) == [(False, 0.01), (True, 0.1)]
