"""C1 to C4: what best settings have to do with domain similarity, and momentum with both."""

import pytest

SIMILARITIES = {"a": 0.95, "b": 0.9, "c": 0.85, "d": 0.8, "e": 0.75, "f": 0.7}
SOURCES = ("old", "older", "oldest")


def place(grids) -> None:
    for shift, source in enumerate(SOURCES):
        # the sources differ in which targets are similar to them
        names = list(SIMILARITIES)
        names = names[shift:] + names[:shift]
        grids.similar(source, dict(zip(names, SIMILARITIES.values(), strict=True)))


def likeness(source: str, target: str) -> float:
    names, shift = list(SIMILARITIES), SOURCES.index(source)
    return list(SIMILARITIES.values())[(names.index(target) - shift) % len(names)]


class TestC1:
    def momentum(self, grids, gain) -> None:
        """`gain` of momentum 0 over 0.9 as a function of similarity."""
        place(grids)
        for source in SOURCES:
            for target in SIMILARITIES:
                own = gain(likeness(source, target))
                for decay in (0.005, 0.0):
                    at = {"source": source, "val": 0.5, "weight_decay": decay}
                    role = "baseline" if decay else "other"
                    grids.runs(target, momentum=0.9, test=0.7, role=role, **at)
                    grids.runs(target, momentum=0.0, test=0.7 + own + 0.01 * (decay > 0), **at)
                    # another learning rate says the opposite, and does not count
                    grids.runs(target, momentum=0.9, lr=0.1, test=0.7, **at)
                    grids.runs(target, momentum=0.0, lr=0.1, test=0.7 - 9 * own, **at)

    @pytest.mark.parametrize(
        ("gain", "verdict"),
        [
            (lambda s: 0.4 * (s - 0.8), "supported"),
            (lambda s: -0.4 * (s - 0.8), "contradicted"),
            (lambda s: 0.02 * (round(100 * s) % 2), "inconclusive"),
        ],
    )
    def test_slope_on_similarity(self, grids, gain, verdict):
        self.momentum(grids, gain)
        (found,) = grids.judge("C1")
        assert found.verdict == verdict
        ((contrast,),) = found.contrasts.values()
        assert contrast.estimate.pairs == 18
        assert [(s.source, s.target) for s in found.settings] == [(None, "all pairs")]

    def test_the_slope_is_that_of_the_means_over_decays(self, grids):
        self.momentum(grids, lambda s: 0.4 * s**2)
        (found,) = grids.judge("C1")
        ((contrast,),) = found.contrasts.values()
        # of x² between symmetric points: twice their middle, 0.825
        assert contrast.estimate.value == pytest.approx(0.4 * 2 * 0.825, rel=1e-6)

    def test_without_a_default_there_is_no_learning_rate_to_fix(self, grids):
        self.momentum(grids, lambda s: s)
        grids.execute("UPDATE arms SET role = 'other'")
        assert grids.verdict("C1") == "not run"


class TestC2:
    def grid(self, grids, difference: float, spread: float = 0.002) -> None:
        for i, target in enumerate(SIMILARITIES):
            own = difference + spread * (i - 2.5)
            for momentum, lr, gain in ((0.9, 0.01, 0.0), (0.0, 0.1, own)):
                at = {"lr": lr, "momentum": momentum}
                grids.runs(target, val=0.8, test=0.8 + gain, weight_decay=0.005, **at)
                # the worse decay on validation is better on test, and not chosen
                grids.runs(target, val=0.7, test=0.9 - gain, weight_decay=0.0, **at)
            grids.runs(target, val=0.8, test=0.3, lr=0.3, momentum=0.0)  # an ELR of its own

    @pytest.mark.parametrize(
        ("difference", "verdict"),
        [
            (0.0, "supported"), (0.004, "supported"), (0.05, "contradicted"),
            (-0.05, "contradicted"), (0.0099, "inconclusive"),
        ],
    )  # fmt: skip
    def test_within_a_point_at_equal_effective_rates(self, grids, difference, verdict):
        self.grid(grids, difference)
        (found,) = grids.judge("C2")
        assert found.verdict == verdict
        ((contrast,),) = found.contrasts.values()
        assert contrast.name == "momentum 0 − 0.9 at effective rate 0.1"
        assert contrast.estimate.pairs == 6  # targets, not seeds
        assert contrast.estimate.value == pytest.approx(difference)

    def test_targets_that_differ_leave_it_open(self, grids):
        self.grid(grids, 0.0, spread=0.02)
        assert grids.verdict("C2") == "inconclusive"

    def test_one_momentum_is_not_enough(self, grids):
        self.grid(grids, 0.0)
        grids.execute("UPDATE recipes SET momentum = 0.5 WHERE momentum = 0.9")
        assert grids.verdict("C2") == "not run"


RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def grid(grids, place_of_best) -> None:
    """Six rates; the one at `place_of_best(source, target)` validates best, another tests best."""
    place(grids)
    for source in SOURCES:
        for target in SIMILARITIES:
            best = place_of_best(source, target)
            for i, lr in enumerate(RATES):
                for decay in (0.005, 0.0):
                    val = 0.9 - 0.05 * abs(i - best)
                    grids.runs(
                        target, source=source, lr=lr, momentum=0.0, weight_decay=decay,
                        val=val, test=1 - val, seeds=2,
                    )  # fmt: skip


def by_similarity(source: str, target: str) -> int:
    return sorted(SIMILARITIES.values()).index(likeness(source, target))


ORDERS = [
    (lambda s, t: 5 - by_similarity(s, t), "supported"),
    (by_similarity, "contradicted"),
    (lambda s, t: (by_similarity(s, t) * 7 + 3) % 5, "inconclusive"),
]


@pytest.mark.parametrize("claim", ["C3", "C4"])
@pytest.mark.parametrize(("order", "verdict"), ORDERS)
def test_best_rates_against_similarity(grids, claim, order, verdict):
    grid(grids, order)
    (found,) = grids.judge(claim)
    assert found.verdict == verdict
    ((contrast,),) = found.contrasts.values()
    assert contrast.estimate.pairs == 18
    if verdict == "supported":
        assert contrast.estimate.value == pytest.approx(1)
    assert contrast.estimate.p is not None


@pytest.mark.parametrize("claim", ["C3", "C4"])
def test_one_rate_for_all_says_nothing(grids, claim):
    grid(grids, lambda s, t: 2)
    assert grids.verdict(claim) == "not run"


def test_c4_looks_at_decay_that_is_there(grids):
    grid(grids, lambda s, t: 5 - by_similarity(s, t))
    grids.execute('UPDATE recipes SET "lambda" = 0')
    assert grids.verdict("C4") == "not run"
