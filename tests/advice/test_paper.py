"""The paper's Table 4: that it is as printed, and what the rules make of it."""

from collections import Counter

import pytest

from fastpipe.advice.paper import disagreements, score_table, table4

# As the text prints the rows: similarity and rate by column.
PRINTED = """
Dogs 0.862 0.001 0.851 0.01 0.852 0.01 0.854 0.05 0.856 0.5
Caltech 0.892 0.005 0.881 0.01 0.878 0.01 0.871 0.1 0.888 0.05
Indoor 0.856 0.01 0.850 0.05 0.839 0.01 0.843 0.1 0.901 0.05
Birds 0.860 0.05 0.842 0.05 0.849 0.1 0.901 0.005 0.861 0.5
Cars 0.845 0.5 0.831 0.5 0.830 1.0 0.847 1.0 0.864 1.0
Aircrafts 0.840 1.0 0.817 0.1 0.831 1.0 0.846 0.5 0.853 0.5
Flowers 0.844 0.1 0.821 0.5 0.825 0.1 0.879 0.1 0.851 1.0
"""
COLUMNS = [
    ("imagenet", "resnet101"), ("imagenet", "densenet121"), ("imagenet", "mobilenet"),
    ("inat2017", "resnet101"), ("places365", "resnet101"),
]  # fmt: skip


def test_cells_are_the_printed_ones():
    cells = {(c.source, c.extractor, c.target): (c.similarity, c.elr) for c in table4()}
    for line in PRINTED.split("\n")[1:-1]:
        target, *numbers = line.split()
        for place, column in enumerate(COLUMNS):
            printed = tuple(map(float, numbers[2 * place : 2 * place + 2]))
            assert cells.pop((*column, target.lower())) == printed
    assert {key[1] for key in cells} == {"jft"} and len(cells) == 5


def test_order_that_the_papers_text_states():
    """Appendix B: Caltech and Dogs are 1st and 2nd, Birds and Indoor 3rd and 4th from ImageNet."""
    for source, extractor in COLUMNS[:3]:
        own = [c for c in table4() if (c.source, c.extractor) == (source, extractor)]
        ranked = [c.target for c in sorted(own, key=lambda c: -c.similarity)]
        assert ranked[:2] == ["caltech", "dogs"] and set(ranked[2:4]) == {"birds", "indoor"}


def test_one_cell_disagrees_with_the_figure():
    (cell,) = disagreements()
    assert cell[:3] == ("imagenet", "mobilenet", "indoor")
    assert (cell.elr, cell.figure) == (0.01, 0.05)


def test_scores_of_the_nearest_reference_by_hand():
    """ImageNet, JFT features: for each target the nearest other one, worked out on paper."""
    (found,) = (s for s in score_table() if (s.column, s.rule) == ("imagenet, jft", "nearest"))
    # dogs ← birds (no), birds ← cars (no), cars ← birds, 0.003 away, not aircrafts, 0.004 (no),
    # aircrafts ← cars (yes), flowers ← aircrafts (yes: 0.1 ends [0.1, 1]).
    assert (found.right, found.targets, found.decades) == (2, 5, pytest.approx(1.0))


def test_together_is_the_sum_of_the_columns_with_rates_of_their_own():
    """JFT has none: its cells stand with those of the ResNet-101."""
    rates = {(c.extractor, c.target): c.elr for c in table4() if c.source == "imagenet"}
    assert all(rate == rates["resnet101", t] for (e, t), rate in rates.items() if e == "jft")
    right, targets = Counter(), Counter()
    for one in score_table():
        if one.column not in ("all", "imagenet, jft"):
            right[one.rule] += one.right
            targets[one.rule] += one.targets
    together = {one.rule: one for one in score_table() if one.column == "all"}
    for rule, one in together.items():
        assert (one.right, one.targets) == (right[rule], targets[rule])
        assert one.targets == 35
